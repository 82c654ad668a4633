//! What authors of other languages write, and what they are told: the form of here, which parses and
//! means what they meant.

use expect_test::expect;

use crate::base::Diagnostic;
use crate::query::Query;

/// What is written, and the query that is meant.
const MEANT: &[(&str, &str)] = &[
    // Python, SQL, EQL, Kusto.
    ("event.action in [login, logout]", "event.action: (login or logout)"),
    ("event.action in (\"login\", \"log out\")", "event.action: (\"login\" or \"log out\")"),
    ("event.action in ('login', 'log out')", "event.action: (login or \"log out\")"),
    ("event.action IN (login,logout)", "event.action: (login or logout)"),
    ("event.action in login, logout", "event.action: (login or logout)"),
    ("event.action in~ (\"a\" or \"b\")", "event.action: (\"a\" or \"b\")"),
    ("event.action not in (a, b)", "not event.action: (a or b)"),
    ("event.action !in (a, b)", "not event.action: (a or b)"),
    ("event.action is in (a, b)", "event.action: (a or b)"),
    ("not event.action in (a, b)", "event.action: (a or b)"),
    ("raw.n in (1, 2, 3)", "raw.n: (1 or 2 or 3)"),
    ("raw.n in ('1', '2')", "raw.n: (\"1\" or \"2\")"),
    ("user.name in @admins", "user.name: @admins"),
    ("user.name in (null, root)", "user.name: (null or root)"),
    ("user.name in (and, or)", ""),
    ("raw.path in (/usr/bin, /bin)", "raw.path: (\"/usr/bin\" or \"/bin\")"),
    ("raw.path in ('C:\\Windows', 'D:')", "raw.path: (\"C:\\\\Windows\" or D:)"),
    ("event.action is login", "event.action: login"),
    ("event.action is not \"login\"", "not event.action: \"login\""),
    ("event.action equals login", "event.action: login"),
    ("user.name is null", "user.name: null"),
    ("user.name IS NOT NULL", "user.name: *"),
    ("user.name is missing", "user.name: null"),
    ("user.name exists", "user.name: *"),
    ("user.name not exists", "user.name: null"),
    ("exists user.name", "user.name: *"),
    ("missing user.name", "user.name: null"),
    ("exists(user.name)", "user.name: *"),
    ("isNull(user.name)", "user.name: null"),
    ("isnotnull(user.name)", "user.name: *"),
    ("event.action like 'log%'", "event.action: log*"),
    ("event.action LIKE '%log_n%'", "event.action: *log?n*"),
    ("event.action like '100\\% sure%'", "event.action: 100\\%\\ sure*"),
    ("event.action like \"log*_x\"", "event.action: log*_x"),
    ("event.action like 'login'", "event.action: login"),
    ("event.action not like 'log%'", "not event.action: log*"),
    ("event.action ilike '%x'", "event.action: *x"),
    ("event.action matches /^log/", "event.action: /^log/"),
    ("event.action matches \"^\\d+/x$\"", "event.action: /^\\d+\\/x$/"),
    ("event.action matches regex 'a b'", "event.action: /a b/"),
    ("event.action rlike /x/i", "event.action: /x/i"),
    ("event.action ~* 'x'", "event.action: /x/i"),
    ("event.action contains log", "event.action: *log*"),
    ("event.action contains \"log * in\"", "event.action: *log\\ \\*\\ in*"),
    ("event.action !contains log", "not event.action: *log*"),
    ("event.action does not contain log", "not event.action: *log*"),
    ("event.action startswith log", "event.action: log*"),
    ("event.action starts with \"log\"", "event.action: log*"),
    ("event.action does not start with log", "not event.action: log*"),
    ("event.action endswith (in, out)", "event.action: (*in or *out)"),
    ("startsWith(event.action, \"log\")", "event.action: log*"),
    ("cidrMatch(source.ip, \"10.0.0.0/8\", \"::1/128\")", "source.ip: (10.0.0.0/8 or ::1/128)"),
    ("cidrmatch(\"10.0.0.0/8\", source.ip)", "source.ip: 10.0.0.0/8"),
    ("wildcard(event.action, \"a*\", \"b?\")", "event.action: (a* or b?)"),
    ("raw.n between 1 and 5", "raw.n: [1 to 5]"),
    ("raw.n not between 1 and 5", "not raw.n: [1 to 5]"),
    ("raw.n between (1, 5)", "raw.n: [1 to 5]"),
    ("raw.n gt 5", "raw.n > 5"),
    // Sigma.
    ("event.action|startswith: log", "event.action: log*"),
    ("event.action|endswith: 'in'", "event.action: *in"),
    ("event.action|contains: \"a b\"", "event.action: *a\\ b*"),
    ("event.action|contains: 'a*b'", "event.action: *a*b*"),
    ("event.action|contains: ['a', 'b']", "event.action: (*a* or *b*)"),
    ("event.action|contains|all: [a, b]", "event.action: (*a* and *b*)"),
    ("event.action|all: [a, b]", "event.action: (a and b)"),
    ("event.action|re: '^log(in|out)$'", "event.action: /^log(in|out)$/"),
    ("event.action|re|i: /x/", "event.action: /x/i"),
    ("source.ip|cidr: 10.0.0.0/8", "source.ip: 10.0.0.0/8"),
    ("source.ip|cidr: ['10.0.0.0/8', '::1/128']", "source.ip: (10.0.0.0/8 or ::1/128)"),
    ("event.action|cased: Login", "event.action == Login"),
    ("event.action|startswith|cased: Log", "event.action == Log*"),
    ("event.action|exists: true", "event.action: *"),
    ("event.action|exists: false", "event.action: null"),
    ("raw.n|gte: 5", "raw.n >= 5"),
    ("user.id|fieldref: user.target.id", "user.id: $user.target.id"),
    ("event.action|neq: x", "not event.action: x"),
    // Lucene.
    ("-event.action: x", "not event.action: x"),
    ("+event.action: x", "event.action: x"),
    ("_exists_: user.name", "user.name: *"),
    // Lists with commas, and quotes.
    ("event.action: a, b, c", "event.action: (a or b or c)"),
    ("event.action: (a, b)", "event.action: (a or b)"),
    ("event.action: (\"a\",\"b\")", "event.action: (\"a\" or \"b\")"),
    ("event.action: 'a', 'b c'", "event.action: (a or \"b c\")"),
    ("event.action: [\"a, b\", c]", "event.action: (\"a, b\" or c)"),
    ("event.action == (A, B)", "event.action == (A or B)"),
    ("event.action: (a b c)", "event.action: (a or b or c)"),
    ("event.action: 'log in'", "event.action: \"log in\""),
    ("event.action == 'log in'", "event.action == \"log in\""),
    // Signs.
    ("event.action = login", "event.action: login"),
    ("event.action = 'log in'", "event.action: \"log in\""),
    ("event.action = [a, b]", "event.action: (a or b)"),
    ("event.action != ('a', 'b')", "not event.action: (a or b)"),
    ("event.action != login", "not event.action: login"),
    ("event.action !== Login", "not event.action == Login"),
    ("event.action != null", "event.action: *"),
    ("event.action = null", "event.action: null"),
    ("event.action =~ /x/i", "event.action: /x/i"),
    ("event.action !~ \"x/y\"", "not event.action: /x\\/y/"),
    ("raw.n => 5", "raw.n >= 5"),
    ("a: x && b: y", "a: x and b: y"),
    ("not a: x || b: (y or z)", "not a: x or b: (y or z)"),
    ("a: (x && y)", "a: (x and y)"),
    ("!(a: x or b: y)", "not (a: x or b: y)"),
    ("!a: x", "not a: x"),
];

/// What stands between backticks.
fn shown(help: &str) -> Vec<&str> {
    help.split('`').skip(1).step_by(2).collect()
}

fn mistakes(text: &str) -> Vec<Diagnostic> {
    Query::parse(text).expect_err(text)
}

#[test]
fn a_term_of_another_language_is_one_mistake_that_shows_what_is_meant() {
    for (foreign, meant) in MEANT.iter().filter(|(_, meant)| !meant.is_empty()) {
        let found = mistakes(foreign);
        assert_eq!(found.len(), 1, "{foreign}: {found:#?}");
        let help = found[0].help.as_deref().unwrap_or_else(|| panic!("{foreign}: no help"));
        let first = shown(help)[0];
        assert_eq!(first, *meant, "{foreign}: {help}");
        assert!(help.contains("write `"), "{foreign}: {help}");
        Query::parse(first).unwrap_or_else(|found| panic!("{foreign}: {first}: {found:?}"));
    }
}

#[test]
fn nothing_is_shown_as_a_query_that_is_none() {
    let more = [
        "a in",
        "a like",
        "a in ()",
        "a in (b: c)",
        "a startswith \"\"",
        "a contains (x and y)",
        "a matches \"(\"",
        "a matches \"\"",
        "a between 1",
        "a between x and y",
        "a gt x",
        "source.ip|cidr: 10.1.2.3/8",
        "a|base64offset|contains: x",
        "a|re: x{1000}{1000}{1000}",
        "a|contains: ",
        "a|fieldref: \"x y\"",
        "a|exists:",
        "a = (b",
        "a !=",
        "a =~ (",
        "a: (b, c: d)",
        "a: b, c.d: e",
        "a: [b, (c)]",
        "a: 'b c",
        "a in 'b",
        "a && b || c",
        "a: x && && b: y",
        "a: x && (b: y",
        "!",
        "process where user.name == \"x\"",
        "exists a: x",
        "startswith(\"a\", \"b\")",
        "a: (b && )",
        "a: (x y z: w)",
        "a: (\"x\" y)",
        "- a: x",
    ];
    for text in more.iter().chain(MEANT.iter().map(|(foreign, _)| foreign)) {
        for mistake in mistakes(text) {
            if !mistake.code.starts_with("foreign") {
                continue;
            }
            let help = mistake.help.unwrap_or_default();
            let whole = shown(&help)
                .into_iter()
                .filter(|form| !form.contains('…') && !matches!(*form, "and" | "or"));
            for form in whole.filter(|_| !help.starts_with("leave out")) {
                // What is shown may repeat another mistake of the value, but brings none of its own.
                let bare = form.trim_matches(|c| c == '"');
                assert!(Query::parse(form).is_ok() || text.contains(bare), "{text}: {help}");
            }
        }
    }
}

fn check(queries: &[&str], expected: &expect_test::Expect) {
    let all = queries.iter().map(|text| {
        let told = mistakes(text).into_iter().map(|mistake| {
            let place = text.get(mistake.span.unwrap()).unwrap();
            let help = mistake.help.map(|help| format!("\n  {help}")).unwrap_or_default();
            format!("[{place}] {}: {}{help}\n", mistake.code, mistake.message)
        });
        format!("{text}\n{}", told.collect::<String>())
    });
    expected.assert_eq(&all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn words_and_modifiers_are_pointed_at() {
    check(
        &[
            "event.action in [login, logout] and user.nmae = bob",
            "user.name is not null and event.action contains log",
            "event.action matches 'x' or exists user.name",
            "event.action|contains|all: [a, b] and event.action|base64: x",
            "process where user.name == \"bob\"",
            "event.action in (a: b)",
            "event.action: (a, b) and event.action: c, d",
            "event.action: (a, \"b\" c)",
            "lower(user.name) == \"bob\" and len(user.name) > 5 or now() and upper(x) > 3",
        ],
        &expect![[r#"
            event.action in [login, logout] and user.nmae = bob
            [in] foreign-word: expected `field: value`, found `in`
              write `event.action: (login or logout)`
            [=] foreign-sign: expected a comparison, found `=`
              write `user.nmae: bob` (ignoring case) or `user.nmae == bob` (exactly)

            user.name is not null and event.action contains log
            [is not null] foreign-word: expected `field: value`, found `is not null`
              write `user.name: *`
            [contains] foreign-word: expected `field: value`, found `contains`
              write `event.action: *log*`; for a whole value, or one of an array, `event.action: log`

            event.action matches 'x' or exists user.name
            [matches] foreign-word: expected `field: value`, found `matches`
              write `event.action: /x/`; it is looked for anywhere in the text, `^…$` is all of it
            [exists] foreign-word: expected `field: value`, found `exists`
              write `user.name: *`

            event.action|contains|all: [a, b] and event.action|base64: x
            [|contains|all] foreign-word: expected `:` behind a field's name, found `|contains|all`
              write `event.action: (*a* and *b*)`
            [|base64] foreign-word: expected `:` behind a field's name, found `|base64`
              `base64` has no form here; those that have: `event.action: x*` (startswith), `event.action: *x` (endswith), `event.action: *x*` (contains), `event.action: /x/` (re)

            process where user.name == "bob"
            [process where] foreign-word: expected `field: value`, found `process where`
              leave out `process where`: a query is the condition alone; which product is asked is in `event.provider` and `event.dataset`

            event.action in (a: b)
            [in] foreign-word: expected `field: value`, found `in`
              write `event.action: (a: or b)`

            event.action: (a, b) and event.action: c, d
            [,] foreign-sign: expected `or` between values, found `,`
              for any of them write `event.action: (a or b)`
            [,] foreign-sign: expected `or` between values, found `,`
              for any of them write `event.action: (c or d)`

            event.action: (a, "b" c)
            [,] foreign-sign: expected `or` between values, found `,`
              for any of them write `event.action: (a or "b" or c)`

            lower(user.name) == "bob" and len(user.name) > 5 or now() and upper(x) > 3
            [lower] foreign-word: expected `field: value`, found the function `lower`
              `:` ignores case: write `user.name: "bob"`
            [len] foreign-word: expected `field: value`, found the function `len`
              there are no functions: a query compares a field with values
            [now] foreign-word: expected `field: value`, found the function `now`
              there are no functions: a query compares a field with values
            [upper] foreign-word: expected `field: value`, found the function `upper`
              `:` ignores case: write the field and the value
        "#]],
    );
}

#[test]
fn a_long_list_shows_how_it_begins() {
    let many: Vec<String> = (0..200).map(|n| format!("name{n}")).collect();
    let found = mistakes(&format!("user.name in ({})", many.join(", ")));
    let help = found[0].help.as_deref().unwrap();
    assert_eq!(help, "write `user.name: (name0 or name1 or name2 or …)`");
}

#[test]
fn what_only_looks_foreign_is_read_as_it_stands() {
    for text in [
        "in: x",
        "like == x",
        "event.action: (in or like or contains)",
        "event.action: a,b",
        "event.action: (a,b or c)",
        "event.action: 'login'",
        "raw.\"a|b\": x",
        "raw.-x: y",
        "raw.list: { -x: y }",
        "raw.exists: missing",
        "\"exists\" and \"in\"",
    ] {
        assert!(Query::parse(text).is_ok(), "{text}: {:?}", Query::parse(text));
    }
}

#[test]
fn signs_inside_one_another_are_read_in_time() {
    let nested = |text: &str, n: usize| format!("{}a: x{}", text.repeat(n), ")".repeat(n));
    for text in [nested("!(", 60), nested("a: x && (", 60), "a: x && ".repeat(8_000)] {
        assert!(mistakes(&text).len() <= crate::query::MISTAKES_MAX);
    }
}
