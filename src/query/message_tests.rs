//! What authors are told: the mistake, the place, the right form.

use expect_test::{Expect, expect};

use super::Query;
use crate::base::Diagnostic;

fn told(text: &str, mistakes: Vec<Diagnostic>) -> String {
    let lines = mistakes.into_iter().map(|mistake| {
        let place = mistake.span.and_then(|span| text.get(span)).unwrap().to_owned();
        let help = mistake.help.map(|help| format!("\n  {help}")).unwrap_or_default();
        format!("[{place}] {}: {}{help}\n", mistake.code, mistake.message)
    });
    lines.collect()
}

/// What is said of each of the queries, one after the other.
fn check(queries: &[&str], expected: &Expect) {
    let all = queries.iter().map(|text| {
        let mistakes = Query::parse(text).expect_err(text);
        format!("{text}\n{}", told(text, mistakes))
    });
    expected.assert_eq(&all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn signs_of_other_languages_show_the_right_form() {
    check(
        &[
            "user.name = bob",
            "user.name != \"bob smith\" and event.action: x",
            "user.name === bob",
            "event.action =~ /x/ or event.action !~ y",
            "a: x && b: y || !c: z",
            "event.action: [\"a\",\"b\"]",
            "event.action: []",
            "event.action: [login]",
            "event.action: (a, b)",
            "event.action: a, b",
            "raw.n:>5",
            "raw.n => 5",
            "raw.n: =5",
        ],
        &expect![[r#"
            user.name = bob
            [=] foreign-sign: expected a comparison, found `=`
              write `user.name: bob` (ignoring case) or `user.name == bob` (exactly)

            user.name != "bob smith" and event.action: x
            [!=] foreign-sign: expected a comparison, found `!=`
              write `not user.name: "bob smith"`

            user.name === bob
            [===] foreign-sign: expected a comparison, found `===`
              write `user.name: bob` (ignoring case) or `user.name == bob` (exactly)

            event.action =~ /x/ or event.action !~ y
            [=~] foreign-sign: expected a comparison, found `=~`
              write `event.action: /x/`
            [!~] foreign-sign: expected a comparison, found `!~`
              write `not event.action: /y/`; for the text itself, ignoring case, `not event.action: y`

            a: x && b: y || !c: z
            [&&] foreign-sign: expected `and`, found `&&`
              write `a: x and b: y`
            [||] foreign-sign: expected `or`, found `||`
              write `b: y or …`
            [!] foreign-sign: expected `not`, found `!`
              write `not c: z`

            event.action: ["a","b"]
            [["a","b"]] query-syntax: expected a range such as `[1 to 5]`, found a list
              for any of them write `event.action: ("a" or "b")`

            event.action: []
            [[]] query-syntax: expected a range such as `[1 to 5]`, found a list
              for a missing field or an empty array write `event.action: null`

            event.action: [login]
            [[login]] query-syntax: expected a range such as `[1 to 5]`, found a list
              write `event.action: login`, or a range such as `event.action: [1 to 5]`

            event.action: (a, b)
            [,] foreign-sign: expected `or` between values, found `,`
              for any of them write `event.action: (a or b)`

            event.action: a, b
            [,] foreign-sign: expected `or` between values, found `,`
              for any of them write `event.action: (a or b)`

            raw.n:>5
            [>5] foreign-sign: expected a value, found `>`
              to compare write `raw.n > 5`; for the text itself use quotes: `">5"`

            raw.n => 5
            [=>] foreign-sign: expected a comparison, found `=>`
              write `raw.n >= 5`

            raw.n: =5
            [=5] foreign-sign: expected a value, found `=`
              to compare write `raw.n == 5`; for the text itself use quotes: `"=5"`
        "#]],
    );
}

#[test]
fn terms_side_by_side_show_both_right_forms() {
    check(
        &[
            "event.reason: invalid password",
            "event.reason: invalid user password and user.name: x",
            "user.name: bob event.action: login",
            "user.name: bob \"free\"",
            "\"free\" user.name: bob",
            "login",
            "event.action: login or logout",
            "event.action: (login logout)",
            "(a: x) b",
            "a: \"x\"y",
        ],
        &expect![[r#"
            event.reason: invalid password
            [password] query-syntax: expected `and` or `or` before `password`
              for one text write `event.reason: "invalid password"`; for free text as well `event.reason: invalid and "password"`

            event.reason: invalid user password and user.name: x
            [user password] query-syntax: expected `and` or `or` before `user password`
              for one text write `event.reason: "invalid user password"`; for free text as well `event.reason: invalid and "user password"`

            user.name: bob event.action: login
            [event.action:] query-syntax: expected `and` or `or` before `event.action:`

            user.name: bob "free"
            ["free"] query-syntax: expected `and` or `or` before `"free"`
              for free text as well write `… and "free"`

            "free" user.name: bob
            [user.name:] query-syntax: expected `and` or `or` before `user.name:`

            login
            [login] query-syntax: expected `field: value`, found `login`
              a field's value follows a colon: `login: …`; free text is quoted: `"login"`

            event.action: login or logout
            [logout] query-syntax: expected `field: value`, found `logout`
              another value of the same field: `event.action: (login or logout)`; free text is quoted: `"logout"`

            event.action: (login logout)
            [logout] query-syntax: expected `and` or `or` before `logout`
              for any of them write `event.action: (login or logout)`; for one text `event.action: "login logout"`

            (a: x) b
            [b] query-syntax: expected `and` or `or` before `b`
              for free text as well write `… and "b"`

            a: "x"y
            [y] query-syntax: expected white space after the closing quote, found `y`
        "#]],
    );
}

#[test]
fn what_is_plain_only_in_quotes_is_told() {
    check(
        &[
            "event.action: and",
            "event.action: not x",
            "not: x",
            "to: x and a: to",
            "/x/",
            "@scanners",
            "raw.path: /admin",
            "raw.path: /usr/bin",
            "a: @",
            "a: $",
            "a: @x!y",
            "a: [x",
            "a: {x",
        ],
        &expect![[r#"
            event.action: and
            [and] query-syntax: expected a value of `event.action`, found `and`
              `and` is plain only in quotes: `event.action: "and"`

            event.action: not x
            [not] query-syntax: expected a value of `event.action`, found `not`
              write `not event.action: …`, or in quotes the word: `"not"`

            not: x
            [not] query-syntax: expected a field name, found `not`
              `not` is plain only in quotes: `"not": …`

            to: x and a: to
            [to] query-syntax: expected a field name, found `to`
              `to` is plain only in quotes: `"to": …`
            [to] query-syntax: expected a value of `a`, found `to`
              `to` is plain only in quotes: `a: "to"`

            /x/
            [/x/] query-syntax: expected a field before `/`
              write `field: /x/`; as free text: `"/x/"`

            @scanners
            [@scanners] query-syntax: expected a field before `@`
              write `field: @scanners`; as free text: `"@scanners"`

            raw.path: /admin
            [/] bad-regex: this regex is not closed: expected `/` at its end
              for the text itself use quotes: `"/admin"`

            raw.path: /usr/bin
            [bin] bad-regex: expected `i` or nothing after a regex, found `bin`
              for the text itself use quotes: `"/usr/bin"`

            a: @
            [@] query-syntax: expected the name of a list after `@`
              for the text itself use quotes: `"@"`

            a: $
            [$] query-syntax: expected a field name after `$`
              for the text itself use quotes: `"$"`

            a: @x!y
            [@x!y] query-syntax: expected the name of a list, found `x!y`
              an odd name stands in quotes: `@"x!y"`; the text itself too: `"@x!y"`

            a: [x
            [[] unclosed: this `[` is not closed
              a range is `[1 to 5]`; a text that begins with `[` stands in quotes

            a: {x
            [{] unclosed: this `{` is not closed
              a text that begins with `{` stands in quotes
            [x] query-syntax: expected `field: value`, found `x`
              a field's value follows a colon: `x: …`; free text is quoted: `"x"`
        "#]],
    );
}

#[test]
fn a_backslash_before_a_letter_shows_two() {
    check(
        &[
            "raw.dir: \"C:\\Windows\\System32\"",
            "raw.dir: C:\\Windows",
            "raw.\"a\\b\": x",
            "raw.dir: x\\",
        ],
        &expect![[r#"
            raw.dir: "C:\Windows\System32"
            [\W] bad-escape: expected a sign after `\`, found `W`
              `\` takes away the meaning of the sign that follows; for a backslash write `\\`: `"C:\\Windows\\System32"`
            [\S] bad-escape: expected a sign after `\`, found `S`
              `\` takes away the meaning of the sign that follows; for a backslash write `\\`: `"C:\\Windows\\System32"`

            raw.dir: C:\Windows
            [\W] bad-escape: expected a sign after `\`, found `W`
              `\` takes away the meaning of the sign that follows; for a backslash write `\\`: `C:\\Windows`

            raw."a\b": x
            [\b] bad-escape: expected a sign after `\`, found `b`
              `\` takes away the meaning of the sign that follows; for a backslash write `\\`: `"a\\b"`

            raw.dir: x\
            [\] bad-escape: expected a sign after `\`, found the end
              for a backslash write `\\`
        "#]],
    );
}

#[test]
fn values_that_cannot_be_meant_are_told() {
    check(
        &[
            "source.ip: 10.1.2.3/8",
            "source.ip: 10.0.0.0/33",
            "source.ip: ::1/64",
            "a > x",
            "a > (1 or 2)",
            "a < *",
            "a: [1 to x]",
            "a: [* to *]",
            "a: [1 to 2026-01-01]",
            "a: /(/",
            "a: /x{1000}{1000}/",
            "a: //",
            "a: /x/g",
            "a == /x/",
            "a == @list",
            "a == [1 to 2]",
            "a == { b: c }",
            "labels.*: { a: b }",
            "a: { \"free\" }",
        ],
        &expect![[r#"
            source.ip: 10.1.2.3/8
            [10.1.2.3/8] bad-network: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8`
              for the text itself use quotes: `"10.1.2.3/8"`

            source.ip: 10.0.0.0/33
            [10.0.0.0/33] bad-network: `10.0.0.0/33`: expected a prefix of at most 32 bits
              for the text itself use quotes: `"10.0.0.0/33"`

            source.ip: ::1/64
            [::1/64] bad-network: `::1/64`: bits are set beyond the prefix; the network is `::/64`
              for the text itself use quotes: `"::1/64"`

            a > x
            [x] query-syntax: expected a number or a time, found `x`
              a time is `2026-01-31` or `2026-01-31T09:00:00Z`

            a > (1 or 2)
            [(1 or 2)] query-syntax: expected a number or a time, found `(1 or 2)`

            a < *
            [*] query-syntax: expected a number or a time, found `*`
              a time is `2026-01-31` or `2026-01-31T09:00:00Z`

            a: [1 to x]
            [x] query-syntax: expected a number or a time, found `x`
              a time is `2026-01-31` or `2026-01-31T09:00:00Z`

            a: [* to *]
            [[* to *]] query-syntax: expected at least one end, found none
              for any value write `a: *`

            a: [1 to 2026-01-01]
            [[1 to 2026-01-01]] query-syntax: expected two numbers or two times

            a: /(/
            [(] bad-regex: not a regex: unclosed group

            a: /x{1000}{1000}/
            [x{1000}{1000}] bad-regex: not a regex: it needs more than 2097152 bytes

            a: //
            [//] bad-regex: an empty regex meets every value
              write `*` for any value

            a: /x/g
            [g] bad-regex: expected `i` or nothing after a regex, found `g`
              for the text itself use quotes: `"/x/g"`

            a == /x/
            [/x/] query-syntax: expected a text or a field after `==`, found a regex
              write `a: /x/`; for the text itself use quotes

            a == @list
            [@list] query-syntax: expected a text or a field after `==`, found a list
              write `a: @list`; for the text itself use quotes

            a == [1 to 2]
            [[1 to 2]] query-syntax: expected a text or a field after `==`, found a range
              write `a: [1 to 2]`; for the text itself use quotes

            a == { b: c }
            [{ b: c }] query-syntax: expected a text or a field after `==`, found braces
              write `a: { b: c }`; for the text itself use quotes

            labels.*: { a: b }
            [labels.*] bad-field: expected one array before braces, found a name with `*`

            a: { "free" }
            ["free"] query-syntax: expected `field: value` inside the braces
              free text looks through the whole record: put it outside of the braces
        "#]],
    );
}

#[test]
fn brackets_quotes_and_ends_that_are_missing_are_told() {
    check(
        &[
            "",
            "  # nothing\n",
            "a:",
            "a: (",
            "a: ()",
            "()",
            "(a: x",
            "a: x)",
            "a: { b: c",
            "a: {}",
            "a: \"x",
            ": x",
            "a: x and",
            "a: x or or b: y",
            "and a: x",
            "a b: x",
            "a.: x",
            "raw.x!y: 1",
        ],
        &expect![[r#"

            [] empty-query: expected a query, found nothing
              for every event: `@timestamp: *`

              # nothing

            [] empty-query: expected a query, found nothing
              for every event: `@timestamp: *`

            a:
            [] query-syntax: expected a value of `a`

            a: (
            [(] unclosed: this `(` is not closed
            [] query-syntax: expected a value of `a`

            a: ()
            [()] query-syntax: expected something between the parentheses

            ()
            [()] query-syntax: expected something between the parentheses

            (a: x
            [(] unclosed: this `(` is not closed

            a: x)
            [)] unmatched: nothing opens this `)`
              in a value it is written `\)` or stands in quotes

            a: { b: c
            [{] unclosed: this `{` is not closed
              a text that begins with `{` stands in quotes

            a: {}
            [{}] query-syntax: expected something between the braces
              for any value write `a: *`

            a: "x
            ["] unclosed: this quote is not closed
              add `"` at the end; a quote inside is written `\"`

            : x
            [:] query-syntax: expected a field name before the comparison

            a: x and
            [] query-syntax: expected a term, found the end

            a: x or or b: y
            [or] query-syntax: expected a term, found `or`
              `or` is plain only in quotes: `"or"`

            and a: x
            [and] query-syntax: expected a term, found `and`
              `and` is plain only in quotes: `"and"`

            a b: x
            [a] query-syntax: expected `field: value`, found `a`
              a field's value follows a colon: `a: …`; free text is quoted: `"a"`

            a.: x
            [a.] bad-field: expected a field name such as `user.name`, found `a.`: empty key

            raw.x!y: 1
            [raw.x!y] bad-field: expected a field name such as `user.name`, found `raw.x!y`: `!` needs double quotes around the key
        "#]],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    check(
        &["user.name = bob and source.ip: 10.1.2.3/8 or (a: /(/ and b:) and c: \"\\d\" d"],
        &expect![[r#"
            user.name = bob and source.ip: 10.1.2.3/8 or (a: /(/ and b:) and c: "\d" d
            [=] foreign-sign: expected a comparison, found `=`
              write `user.name: bob` (ignoring case) or `user.name == bob` (exactly)
            [10.1.2.3/8] bad-network: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8`
              for the text itself use quotes: `"10.1.2.3/8"`
            [(] bad-regex: not a regex: unclosed group
            [)] query-syntax: expected a value of `b`
            [\d] bad-escape: expected a sign after `\`, found `d`
              `\` takes away the meaning of the sign that follows; for a backslash write `\\`: `"\\d"`
            [d] query-syntax: expected `and` or `or` before `d`
              for free text as well write `… and "d"`
        "#]],
    );
}

#[test]
fn what_is_too_deep_or_too_long_is_refused_at_the_limit() {
    let nested = |levels: usize| format!("{}a: x{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Query::parse(&nested(super::QUERY_DEPTH_MAX)).is_ok());
    let mistakes = Query::parse(&nested(super::QUERY_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(mistakes.iter().map(|m| m.code).collect::<Vec<_>>(), ["query-too-deep"]);
    assert!(Query::parse(&format!("{}a: x", "not ".repeat(super::QUERY_DEPTH_MAX + 1))).is_err());
    let long = |bytes: usize| format!("a: {}", "x".repeat(bytes - 3));
    assert!(Query::parse(&long(super::QUERY_BYTES_MAX)).is_ok());
    let mistakes = Query::parse(&long(super::QUERY_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(mistakes[0].code, "query-too-long");
    Query::parse(&vec!["a: x"; 5_000].join(" or ")).unwrap();
}
