//! Keys that rules of other tools have at their top, and where the same stands here.

/// What is said of a key that rules of other tools have.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    Some(match key.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "filter" => "what is to count stands in `when`, what is not in `[[exception]]`",
        "query" | "condition" | "search" | "detection" | "selection" | "expression" | "expr"
        | "where" => "the condition is `when`, a query in one text: `when = 'event.action: login'`",
        "timeframe" | "timewindow" | "window" | "within" | "lookback" | "period" | "timespan"
        | "numevents" | "count" => {
            "number and span stand in the detector: `threshold = { count = 5, within = \"10m\" }`"
        }
        "mitre" | "mitreattack" | "attack" | "technique" | "techniques" | "tactic" | "tactics" => {
            "techniques of ATT&CK stand in `threat = [\"T1110\"]`"
        }
        "level" | "priority" | "risk" | "riskscore" => {
            "how grave it is is said by `severity`: info, low, medium, high or critical"
        }
        "name" => "what people read is `title`; the id is the file's path, or `id`",
        "exclude" | "exclusions" | "exceptions" | "whitelist" | "allowlist" | "ignore" => {
            "what is not to count stands in `[[exception]]`, with `when` and `reason`"
        }
        "logsource" | "index" | "indices" | "source" | "product" | "service" | "type"
        | "language" => {
            "leave it out: a rule reads the events of every product; to ask for one write `event.provider: …` in `when`"
        }
        "by" | "querykey" | "aggregationkey" => {
            "whose events belong together is said by `group_by = [\"user.name\"]`"
        }
        "author" | "team" => "who looks after it is `owner`",
        "realert" | "suppress" | "suppression" | "throttle" | "dedup" | "dedupe" | "cooldown" => {
            "more of the same grows one alert for as long as `keep_open` in `[alert]` says"
        }
        "alerts" | "actions" | "notify" | "notification" | "notifications" => {
            "who is told stands in the configuration, under `[notifiers]`; how it reads, under `[alert]`"
        }
        "interval" | "schedule" | "cron" | "frequency" => {
            "leave it out: every event is judged as it comes"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_ours_is_taken_for_another_tools() {
        for key in crate::rule::keys::RULE {
            assert_eq!(advice(key.name), None, "{}", key.name);
        }
        assert_eq!(advice("Risk_Score"), advice("priority"));
    }
}
