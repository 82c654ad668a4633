//! What a query knows about itself: doubts, names of sets, fields, alerts; and what people type.

use expect_test::expect;

use super::{Aliases, FieldAdvice, List, Query, Schedule, Sets};
use crate::base::Diagnostic;
use crate::base::diagnostic::Gravity;
use crate::event::{FieldName, Layout};

fn name(text: &str) -> FieldName {
    FieldName::parse(text).unwrap()
}

fn told(text: &str, mistakes: Vec<Diagnostic>) -> String {
    let lines = mistakes.into_iter().map(|mistake| {
        let place = mistake.span.and_then(|span| text.get(span)).unwrap().to_owned();
        let help = mistake.help.map(|help| format!("\n  {help}")).unwrap_or_default();
        format!("[{place}] {}: {}{help}\n", mistake.code, mistake.message)
    });
    lines.collect()
}

#[test]
fn unknown_sets_are_told_with_the_nearest_name() {
    let mut sets = Sets::new();
    sets.insert_list("scanners", List::new(["x"]).0);
    sets.insert_schedule("business-hours", Schedule::new("UTC").unwrap());
    let text = "a: @scaners and @timestamp: @hours and a: @business-hours and @timestamp: @scanners \
                and raw.t: { x: @business-hours and @timestamp: @business-hours } and a: @zzz";
    let mut layout = Layout::new();
    let mistakes = Query::parse(text).unwrap().compile(&mut layout, &sets).unwrap_err();
    expect![[r#"
        [@scaners] unknown-list: unknown list `scaners`
          did you mean `@scanners`?
        [@hours] unknown-schedule: unknown schedule `hours`
          `[schedules.hours]` is written in the configuration; for the text itself use quotes: `"@hours"`
        [@business-hours] not-a-list: expected a list, found the schedule `business-hours`
          write `@timestamp: @business-hours`
        [@scanners] not-a-schedule: expected a schedule, found the list `scanners`
          `@timestamp` is asked for schedules; order it with `>` and `<`
        [@business-hours] not-a-list: expected a list, found the schedule `business-hours`
          outside of the braces write `@timestamp: @business-hours`
        [@business-hours] not-a-list: expected a list, found the schedule `business-hours`
          outside of the braces write `@timestamp: @business-hours`
        [@zzz] unknown-list: unknown list `zzz`
          `[lists.zzz]` is written in the configuration; for the text itself use quotes: `"@zzz"`
    "#]].assert_eq(&told(text, mistakes));
    assert!(layout.find(&name("a")).is_some(), "what is read is known all the same");
}

#[test]
fn what_is_doubtful_is_told() {
    let advise = |field: &FieldName| {
        (field.dotted() == "user.nam").then(|| FieldAdvice {
            code: "unknown-field",
            gravity: Gravity::Error,
            message: "unknown field `user.nam`".to_owned(),
            help: Some("did you mean `user.name`?".to_owned()),
        })
    };
    let queries = [
        "user.nam: x and user.id: $user.nam and raw.t: { user.nam: x }",
        "a: x and b: y and not a: x",
        "a: x or not a: X or not a: x",
        "raw.n: [5 to 1]",
        "@timestamp > 2026-02-01 and @timestamp < 2026-01-01",
        "@timestamp > 5 or @timestamp: soon or @timestamp: 10.0.0.0/8",
        "@timestamp: *",
        "user.id: $user.id",
        "a: 'x'",
        "a: /x*/ and b: /^x*$/",
        "a: /[Ff]ailed/ or a: /(Failed|failed)/ or a: /[A-Za-z]+/ or a: /(?i)[Ff]/ or a: /[Ff]/i",
        "raw.t: { a: [5 to 1] and @timestamp > 5 }",
    ];
    let all = queries.map(|text| {
        let doubts = Query::parse(text).unwrap().check(&advise);
        format!("{text}\n{}", told(text, doubts))
    });
    expect![[r"
        user.nam: x and user.id: $user.nam and raw.t: { user.nam: x }
        [user.nam] unknown-field: unknown field `user.nam`
          did you mean `user.name`?
        [user.nam] unknown-field: unknown field `user.nam`
          did you mean `user.name`?

        a: x and b: y and not a: x
        [a: x] never-true: this is never true: `a: x and not a: x`

        a: x or not a: X or not a: x
        [a: x] always-true: this is always true: `a: x or not a: x`

        raw.n: [5 to 1]
        [[5 to 1]] never-true: this is never true: the range ends before it begins

        @timestamp > 2026-02-01 and @timestamp < 2026-01-01
        [2026-01-01] never-true: this is never true: no time meets all bounds

        @timestamp > 5 or @timestamp: soon or @timestamp: 10.0.0.0/8
        [5] never-true: this is never true: `@timestamp` is ordered against times
        [soon] never-true: this is never true: `@timestamp` is a time
        [10.0.0.0/8] never-true: this is never true: `@timestamp` is a time

        @timestamp: *
        [*] always-true: this is always true: every event has a time

        user.id: $user.id
        [$user.id] always-true: this compares a field with itself: true whenever it is there

        a: 'x'
        ['x'] single-quotes: the single quotes are part of the value; without them: `x`

        a: /x*/ and b: /^x*$/
        [/x*/] always-true: this is true of every value: the regex may be empty anywhere
          to match whole values write `^…$`; for any value write `*`

        a: /[Ff]ailed/ or a: /(Failed|failed)/ or a: /[A-Za-z]+/ or a: /(?i)[Ff]/ or a: /[Ff]/i
        [/[Ff]ailed/] regex-case: this regex spells out both cases of letters: should it ignore case?
          `:` ignores case, a regex only as `/[Ff]ailed/i`
        [/(Failed|failed)/] regex-case: this regex spells out both cases of letters: should it ignore case?
          `:` ignores case, a regex only as `/(Failed|failed)/i`

        raw.t: { a: [5 to 1] and @timestamp > 5 }
        [[5 to 1]] never-true: this is never true: the range ends before it begins
    "]].assert_eq(&all.join("\n"));
}

#[test]
fn a_query_knows_what_it_reads() {
    let query = Query::parse(
        "user.name: x and (raw.t: { id: $user.id and labels.*: y } or not *: z) and a: (@one or @two) and \"free\"",
    )
    .unwrap();
    let fields: Vec<String> = query.fields().iter().map(ToString::to_string).collect();
    assert_eq!(fields, ["*", "a", "raw.t", "user.id", "user.name"]);
    assert_eq!(query.sets().into_iter().collect::<Vec<_>>(), ["one", "two"]);
    let text = "raw.t: { id: $user.id }";
    let spans: Vec<_> = Query::parse(text)
        .unwrap()
        .mentions()
        .into_iter()
        .map(|(_, s)| text.get(s).unwrap())
        .collect();
    assert_eq!(spans, ["raw.t", "user.id"]);
}

#[test]
fn a_query_reads_alerts_when_it_names_them_or_requires_them() {
    for (text, expected) in [
        ("rule.id: x", true),
        ("user.name: x or alert.count > 5", true),
        ("user.name: $alert.key.user", true),
        ("event.kind: alert", true),
        ("event.kind: ALERT and user.name: x", true),
        ("event.kind == alert", true),
        ("event.kind == ALERT", false),
        ("event.kind: alert or user.name: x", false),
        ("event.kind: (alert or alert)", true),
        ("not event.kind: alert", false),
        ("event.kind: al*", false),
        ("raw.t: { rule.id: x }", false),
        ("raw.rule.id: x", false),
        ("*: alert", false),
    ] {
        assert_eq!(Query::parse(text).unwrap().needs_alerts(), expected, "{text}");
    }
}

#[test]
fn two_queries_are_joined_flat() {
    let parse = |text| Query::parse(text).unwrap();
    let both = parse("a: x and b: y").and(parse("c: z or d: w")).and(parse("e: v and f: u"));
    assert_eq!(both, parse("a: x and b: y and (c: z or d: w) and e: v and f: u"));
}

#[test]
fn people_type_words_side_by_side_and_use_their_own_names() {
    let mut aliases = Aliases::new();
    aliases.add("actor", name("user.name"));
    aliases.add("event", name("event.action"));
    aliases.add("who", name("user.name"));
    aliases.add("who", name("user.email"));
    for (typed, meant) in [
        ("actor:bob event:*.deleted", "user.name: bob and event.action: *.deleted"),
        ("invalid password", "\"invalid\" and \"password\""),
        ("bob or eve actor:x", "\"bob\" or \"eve\" and user.name: x"),
        ("\"a b\" not actor:(x or y)", "\"a b\" and not user.name: (x or y)"),
        ("who:bob", "user.name: bob or user.email: bob"),
        ("not who:null", "not not (user.name: * or user.email: *)"),
        ("who:(a and b)", "(user.name: a or user.email: a) and (user.name: b or user.email: b)"),
        ("event.category:iam", "event.category: iam"),
        ("raw.t:{actor:x id:1}", "raw.t: { actor: x and id: 1 }"),
        ("10.0.0.1", "\"10.0.0.1\""),
        ("x\\:y (a:b c:d)", "\"x:y\" and a: b and c: d"),
        ("hey!", "\"hey!\""),
    ] {
        let query =
            Query::parse_interactive(typed, &aliases).unwrap_or_else(|m| panic!("{typed} {m:?}"));
        assert_eq!(query, Query::parse(meant).unwrap(), "{typed}");
    }
    let mistakes = ["dep*", "null", "@x", "a = b", "a:(b c)", "actor:"].map(|typed| {
        format!("{typed}\n{}", told(typed, Query::parse_interactive(typed, &aliases).unwrap_err()))
    });
    expect![[r#"
        dep*
        [dep*] query-syntax: expected a field before a wildcard
          in any field: `*: *dep*`

        null
        [null] query-syntax: expected a term, found `null`
          `null` is plain only in quotes: `"null"`

        @x
        [@x] query-syntax: expected a field before `@`
          write `field: @x`; as free text: `"@x"`

        a = b
        [=] foreign-sign: expected a comparison, found `=`
          write `a: b` (ignoring case) or `a == b` (exactly)

        a:(b c)
        [c] query-syntax: expected `and` or `or` before `c`
          for any of them write `a: (b or c)`; for one text `a: "b c"`

        actor:
        [] query-syntax: expected a value of `actor`
    "#]]
    .assert_eq(&mistakes.join("\n"));
}

#[test]
fn every_query_of_the_manual_is_one() {
    for text in [
        "event.category: authentication and event.outcome: failure",
        "source.ip: @vulnerability-scanners",
        "raw.cidrIp: 0.0.0.0/0",
        "raw.target: { type: User and id: $user.id }",
        "user.id: $user.target.id",
        "alert.count >= 50 or user.roles: admin",
        "raw.entityType: * and raw.createdAt: *",
        "event.action: (LOGIN_SUCCESS or LOGIN_FAILED or LOGIN_BLOCKED)",
        "event.category: iam and event.action: *role*",
        "user.target.id: * and not user.target.id: $user.id",
        "event.category: authentication and event.outcome: success and user.roles: admin and not @timestamp: @office-hours",
        "source.ip: $steps.login.source.ip",
        "event.action == set*Policy",
        "raw.ua: *python\\ requests*",
    ] {
        let query = Query::parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"));
        assert_eq!(Query::parse(&query.to_string()).unwrap(), query);
    }
}

#[test]
fn a_matcher_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<super::Matcher>();
    shared::<Sets>();
}
