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
