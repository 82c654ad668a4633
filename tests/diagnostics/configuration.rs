//! What `hark check` says of the configuration where it is not run: its secrets, and what it names.

use std::path::Path;
use std::process::Output;

use crate::program;

/// A folder with a configuration, a mapping and a rule.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config/hark.toml", config);
    write(
        folder.path(),
        "config/mappings/m.toml",
        "topics = ['a']\n[fields]\n'event.action' = 'x'\n'user.name' = 'y'\n",
    );
    write(folder.path(), "rules/r.toml", RULE);
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const RULE: &str = "title = 'x'\nseverity = 'low'\nwhen = 'event.action: x'\n";
const CONFIG: &str =
    "rules = '../rules'\nmappings = 'mappings'\n[sources.a]\n[check]\nallow = ['missing-test']\n";
const SECRETS: &str = "[sinks.siem.splunk_hec]\nurl = 'https://example.com'\ntoken = { env = 'T' }\n\
    [notifiers.team.webhook]\nurl = 'https://example.com'\nsecret = { file = 'key' }\n";

fn out(output: &Output) -> &str {
    program::text(&output.stdout)
}

fn err(output: &Output) -> &str {
    program::text(&output.stderr)
}

#[test]
fn secrets_that_are_not_here_are_a_warning_and_nothing_else_is_left_out_for_them() {
    let folder = folder(&format!("{CONFIG}{SECRETS}"));
    let rule = RULE.replace("event.action: x", "event.acton: x");
    write(folder.path(), "rules/r.toml", &rule);
    let checked = program::run(folder.path(), &["check"], "");
    assert_eq!(checked.status.code(), Some(1));
    let told = err(&checked);
    assert_eq!(told.matches("warning[missing-secret]").count(), 2, "{told}");
    assert_eq!(told.matches("needed by `hark run`").count(), 2, "{told}");
    assert!(told.contains("error[unknown-field]"), "{told}");
    write(folder.path(), "rules/r.toml", RULE);
    let checked = program::run(folder.path(), &["check"], "");
    assert_eq!(checked.status.code(), Some(0));
    assert_eq!(out(&checked), "1 rule and 1 mapping checked: no errors, 2 warnings\n");
    let denied = program::run(folder.path(), &["check", "--deny-warnings"], "");
    assert_eq!(denied.status.code(), Some(1));
}

#[test]
fn who_tries_rules_out_hears_nothing_of_secrets_and_who_runs_them_is_stopped() {
    let folder = folder(&format!("{CONFIG}{SECRETS}"));
    let record = "{\"x\": \"x\", \"y\": \"ann\"}\n";
    write(folder.path(), "event.json", record);
    for command in [
        &["test"][..],
        &["match", "event.action:x", "--mapping", "m"],
        &["replay", "--mapping", "m"],
        &["explain", "--rule", "r", "--event", "event.json", "--mapping", "m"],
        &["docs"],
    ] {
        let output = program::run(folder.path(), command, record);
        assert!(!err(&output).contains("secret"), "{command:?}: {}", err(&output));
        assert!(!err(&output).contains("error"), "{command:?}: {}", err(&output));
    }
    let run = program::run(folder.path(), &["run"], "");
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(err(&run).matches("error[missing-secret]").count(), 2, "{}", err(&run));
}

#[test]
fn a_secret_in_the_file_is_masked_in_every_format() {
    let folder = folder(&format!("{CONFIG}{}", SECRETS.replace("{ env = 'T' }", "'hunter2'")));
    for format in ["text", "json", "sarif"] {
        let checked = program::run(folder.path(), &["check", "--format", format], "");
        let told = format!("{}{}", out(&checked), err(&checked));
        assert!(told.contains("plain-secret") && !told.contains("hunter2"), "{told}");
        if format == "text" {
            assert!(
                told.contains("token = '*******'\n  |         ^^^^^^^^^ expected a table"),
                "{told}"
            );
        }
    }
}

#[test]
fn mistakes_of_the_configuration_hide_none_of_the_rules() {
    let config = CONFIG.replace("[sources.a]", "[sources.a]\n[kafka]\nbootstrp = 'x'");
    let folder = folder(&config);
    write(folder.path(), "rules/r.toml", &RULE.replace("event.action", "event.acton"));
    let checked = program::run(folder.path(), &["check"], "");
    let told = err(&checked);
    assert!(told.contains("unknown key `bootstrp`"), "{told}");
    assert!(told.contains("unknown-field") && told.contains("rules/r.toml"), "{told}");
    assert_eq!(
        out(&checked),
        "1 rule and 1 mapping checked: 2 errors; 1 of the errors is in the configuration\n"
    );
    // The rule's own warnings stay allowed, and those of the configuration itself.
    assert!(!told.contains("missing-test"), "{told}");
}

#[test]
fn a_rule_is_not_blamed_for_a_list_that_the_configuration_gets_wrong() {
    let rule =
        RULE.replace("event.action: x", "event.action: x and user.name: @admins and user.nmae: x");
    for lists in ["[lists.admins]\nfile = 'none.txt'\n", "[list.admins]\nvalues = ['ann']\n"] {
        let folder = folder(&format!("{CONFIG}{lists}"));
        write(folder.path(), "rules/r.toml", &rule);
        let checked = program::run(folder.path(), &["check"], "");
        let told = err(&checked);
        assert!(told.contains("user.nmae") && !told.contains("unknown-list"), "{told}");
        assert_eq!(
            out(&checked),
            "1 rule and 1 mapping checked: 2 errors; 1 of the errors is in the configuration, \
             so lists, schedules and tables that rules name were not looked for\n"
        );
    }
}

#[test]
fn where_the_folders_are_in_doubt_nothing_is_looked_for_there() {
    for mistake in [("rules =", "ruls ="), ("'mappings'", "5"), ("[sources.a]", "[sources.a")] {
        let folder = folder(&CONFIG.replace(mistake.0, mistake.1));
        let checked = program::run(folder.path(), &["check"], "");
        assert_eq!(checked.status.code(), Some(1));
        let wanted = " in the configuration; rules and mappings not checked\n";
        assert!(out(&checked).ends_with(wanted), "{mistake:?}: {}", err(&checked));
    }
}

#[test]
fn a_folder_without_rules_or_mappings_is_told_for_nothing_would_be_detected() {
    let nothing = CONFIG.replace("'../rules'", "'../deploy'").replace("'mappings'", "'../deploy'");
    let folder = folder(&nothing);
    write(folder.path(), "deploy/hark.service", "[Service]");
    let checked = program::run(folder.path(), &["check"], "");
    let told = err(&checked);
    assert_eq!(checked.status.code(), Some(0), "{told}");
    for code in ["no-rules", "no-mappings"] {
        let warning = format!("warning[{code}]: deploy: no ");
        assert_eq!(told.matches(&warning).count(), 1, "{told}");
    }
    assert_eq!(out(&checked), "no rules and no mappings checked: no errors, 2 warnings\n");
    // A file of overrides is no rule.
    write(
        folder.path(),
        "deploy/o.toml",
        "[[override]]\nrules = ['*']\nset = { severity = 'low' }\n",
    );
    let checked = program::run(folder.path(), &["check", "deploy"], "");
    assert!(err(&checked).contains("warning[no-rules]: deploy: no rule"), "{}", err(&checked));
    let allowed = nothing.replace("['missing-test']", "['no-rules', 'no-mappings']");
    write(folder.path(), "config/hark.toml", &allowed);
    std::fs::remove_file(folder.path().join("deploy/o.toml")).unwrap();
    let checked = program::run(folder.path(), &["check"], "");
    assert_eq!(err(&checked), "");
}

#[test]
fn without_a_configuration_it_is_said_once_that_no_mapping_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "r.toml", RULE);
    let records = "{\"x\": \"x\"}\n{\"x\": \"y\"}\n";
    write(folder.path(), "x.jsonl", records);
    let wanted = "note: there is no configuration (config/hark.toml), so no mapping is loaded, and no record \
                  gets common fields: name a configuration with --config FILE, or say --mapping none for \
                  records that are in common fields already\n";
    for command in [
        &["match", "event.outcome: failure", "x.jsonl"][..],
        &["match", "event.outcome: failure", "x.jsonl", "--mapping", "okta"],
        &["replay", "--rules", "r.toml", "x.jsonl"],
        &["explain", "--rule", "r.toml", "--event", "x.jsonl"],
    ] {
        let output = program::run(folder.path(), command, "");
        let told = err(&output);
        assert_eq!(told.matches(wanted).count(), 1, "{command:?}: {told}");
        assert_eq!(told.matches("note: ").count(), 1, "{command:?}: {told}");
        assert!(!told.contains("no one mapping takes them"), "{command:?}: {told}");
        let plain = program::run(folder.path(), &[command, &["--mapping", "none"]].concat(), "");
        assert!(!err(&plain).contains("note: "), "{command:?}: {}", err(&plain));
    }
    let test = program::run(folder.path(), &["test"], "");
    assert!(
        err(&test).contains("note: there is no configuration (config/hark.toml), which says where")
    );
    write(folder.path(), "mine/none.toml", "mappings = 'none'\n[sources.a]\n");
    std::fs::create_dir(folder.path().join("mine/none")).unwrap();
    let named = &["match", "x", "x.jsonl", "--config", "mine/none.toml"];
    let told = program::run(folder.path(), named, "");
    assert!(
        err(&told).starts_with("note: there is no mapping file in mine/none, "),
        "{}",
        err(&told)
    );
}

#[test]
fn a_folder_of_samples_that_is_not_there_is_one_mistake_and_not_one_of_each_test() {
    let folder = folder(CONFIG);
    let test = |name: &str| {
        format!("[[test]]\nname = '{name}'\nevents = [{{ sample = 'm/s' }}]\nexpect = [{{}}]\n")
    };
    write(folder.path(), "rules/r.toml", &format!("{RULE}{}{}", test("a"), test("b")));
    let tested = program::run(folder.path(), &["test"], "");
    assert_eq!((tested.status.code(), out(&tested)), (Some(1), ""));
    assert_eq!(
        err(&tested),
        "error: the tests call 1 sample, and there is no folder config/samples; name it with --samples \
         DIR, or a configuration that says where it is with --config FILE; nothing was run\n"
    );
    write(folder.path(), "config/samples/m/s.json", "{\"x\": \"x\"}");
    let tested = program::run(folder.path(), &["test"], "");
    assert_eq!((tested.status.code(), err(&tested)), (Some(0), ""), "{}", out(&tested));
}

#[test]
fn a_variable_that_names_no_configuration_is_as_good_as_not_set() {
    let folder = folder(CONFIG);
    let check = |name: &str, value: &str, arguments: &[&str]| {
        let mut command = program::command();
        command.arg("check").args(arguments).env(name, value).current_dir(folder.path());
        command.output().unwrap()
    };
    assert_eq!(check("HARK_CONFIG", "", &[]).status.code(), Some(0));
    assert_eq!(check("HARK_CONFIG", "none.toml", &[]).status.code(), Some(1));
    let nothing = check("HARK_OTHER", "", &["--config", ""]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(err(&nothing).contains("expected the path of a file"), "{}", err(&nothing));
}

#[test]
fn a_variable_that_sets_nothing_is_a_mistake_like_a_key_that_nobody_reads() {
    let folder = folder(CONFIG);
    for (name, wanted) in [
        ("HARK_KAFKA__BOOTSTRAPP", "did you mean `HARK__KAFKA__BOOTSTRAPP`?"),
        ("HARK__KAFKA__BOOTSTRAPP", "unknown key `bootstrapp`"),
    ] {
        let mut command = program::command();
        command.arg("check").env(name, "x:9092").env("HARK_SERVICE_HOST", "10.0.0.1");
        let checked = command.current_dir(folder.path()).output().unwrap();
        assert_eq!(checked.status.code(), Some(1));
        assert!(err(&checked).contains(wanted), "{}", err(&checked));
        // The rules are looked at all the same.
        assert!(
            out(&checked).starts_with("1 rule and 1 mapping checked: 1 error;"),
            "{}",
            out(&checked)
        );
    }
}

#[test]
fn a_topic_with_dots_is_set_as_it_is_written_in_the_file() {
    let folder = folder(CONFIG);
    let set = "sources.\"audit.x\"={ delay = \"5m\", strat = 1 }";
    let checked = program::run(folder.path(), &["check", "--set", set], "");
    assert!(
        err(&checked).contains("unknown key `strat` in `[sources.audit.x]`"),
        "{}",
        err(&checked)
    );
}
