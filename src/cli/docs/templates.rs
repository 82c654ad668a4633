//! The page about templates, from the tables that they are checked and rendered with.

use std::fmt::Write as _;

use super::tables::{code, table};
use crate::event::schema;
use crate::rule::ALERT_FIELDS;
use crate::rule::template::language::{FILTERS, FUNCTIONS, TESTS, Word};
use crate::rule::template::{
    FUEL, LINE_CHARS_MAX, TEMPLATE_CHARS_MAX, TEXT_CHARS_MAX, VALUES_MAX, sample,
};

/// What is worth an example beside the words: what it shows, the template, and what that makes of
/// [`sample::alert`].
const EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "A field of the event, and a number of the alert.",
        "{{ alert.count }} failed logins for {{ user.name }}",
        "5 failed logins for mallory",
    ),
    ("A field with several values.", "{{ user.roles }}", "admin, ops"),
    (
        "Different values over all events of the alert.",
        "from {{ values('source.ip') | join(' and ') }}",
        "from 203.0.113.7 and 203.0.113.8",
    ),
    ("How many there are.", "{{ values('source.ip') | length }} addresses", "2 addresses"),
    ("A field that is missing.", "{{ user.name }} <{{ user.email }}>", "mallory <–>"),
    ("Something else in its place.", "{{ user.email | default('no address') }}", "no address"),
    ("The first of several fields that is there.", "{{ user.email or user.name }}", "mallory"),
    (
        "Only if it is there.",
        "{% if user.email %}mail {{ user.email }}{% else %}no mail{% endif %}",
        "no mail",
    ),
    ("A condition on a number.", "{% if alert.count >= 5 %}many{% else %}few{% endif %}", "many"),
    ("A loop.", "{% for role in user.roles %}[{{ role }}]{% endfor %}", "[admin][ops]"),
    (
        "Computing; `~` puts texts together.",
        "{{ (alert.value * 100) | round }} % {{ 'of ' ~ user.name }}",
        "26.0 % of mallory",
    ),
    (
        "A name of its own, and white space cut by `-`.",
        "{% set who = user.name | upper -%} {{ who }}",
        "MALLORY",
    ),
];

/// The page's text.
pub(super) fn page() -> String {
    let mut text = String::from(
        "`title` and `summary` of a rule's `[alert]` are templates: text with `{{ … }}` for values and \
         `{% … %}` for conditions and loops, in the language of Jinja (minijinja). Notifiers show both as \
         plain text and escape them where that is needed.\n\n\
         `hark check` finds words that there are not and expressions that no value could be computed \
         with, in branches that are never reached, too; and a rule's `[[test]]` fails when a template of \
         its alert does. Should one fail all the same, the alert goes out with the rule's own title and \
         `(template failed: …)` behind it: no alert is lost.\n\n\
         ## Examples\n\n",
    );
    let cell = |text: &str| format!("`{text}`");
    let rows = EXAMPLES
        .iter()
        .map(|(what, template, shows)| vec![(*what).to_owned(), cell(template), cell(shows)]);
    text.push_str(&table(&["to show", "template", "shows"], rows));
    text.push_str("The alert of all examples on this page has\n\n");
    let mut fields = String::new();
    for (name, values) in sample::FIELDS {
        let _infallible = writeln!(fields, "{name} = {}", values.join(", ").replace('\n', "\\n"));
    }
    fields.push_str("alert.count = 5\nalert.value = 0.26\nalert.approximate = false\n");
    let _infallible = writeln!(fields, "values('source.ip') = {}", sample::ADDRESSES.join(", "));
    text.push_str(&code("text", &fields));
    text.push_str(
        "## Variables\n\n\
         - Every [field](fields.md) of the latest event that the rule fired on: `{{ user.name }}`, \
         `{{ raw.some.path }}`.\n\
         - The fields of the key (`group_by`), which are always there.\n\
         - `alert.*`, below. The rule's own title, severity and tags stand beside the title anyway.\n\
         - `rule.id` and `rule.tags` are fields of the event, too: those of the alert that a rule on rules read.\n\n\
         **Alerts that the clock fired** (`[absence]`, `[spike]` with `direction = \"down\"`, a `[sequence]` \
         whose last step is absent) are about an event that did not come: they have the fields of the key and no \
         others. Put what the title needs into `group_by`, or ask with `values('user.name')` for the values of \
         the events before, which `[absence]` has none of.\n\n",
    );
    let rows = ALERT_FIELDS.iter().map(|name| {
        vec![cell(name), schema::find(name).map_or("", |spec| spec.meaning).to_owned()]
    });
    text.push_str(&table(&["of the alert", "is"], rows));
    let _infallible = write!(
        text,
        "## How values look\n\n\
         - A missing field is `–`, and so are an empty list and `values()` of a field that no event had. It is \
         false in conditions; computing with it fails, so write `(raw.n | default(0)) + 1`.\n\
         - Several values stand with `, ` between them.\n\
         - `true` and `false` are shown as `True` and `False`; a time is text: `2026-01-05T12:08:00.000Z`.\n\
         - Where a bound was reached, `{{{{ alert.count }}}}`, `{{{{ alert.value }}}}` and `{{{{ alert.peak }}}}` \
         alone in their braces are shown as `≥5`.\n\
         - A line break in a title is a blank; control characters and those that turn the direction of text are \
         left out.\n\n\
         ## `values(field)`\n\n\
         The distinct values that a field had in the events of the alert, at most {VALUES_MAX}, in the order in which they \
         first came. The field stands in quotes: `values('source.ip')`.\n\n"
    );
    words(&mut text, "Filters", "value | filter", FILTERS);
    words(&mut text, "Tests", "value is test", TESTS);
    words(&mut text, "Functions", "function(…)", FUNCTIONS);
    let _infallible = write!(
        text,
        "## Bounds\n\n\
         A template has at most {TEMPLATE_CHARS_MAX} characters and takes at most {FUEL} steps; a title is cut at \
         {LINE_CHARS_MAX} characters, a summary at {TEXT_CHARS_MAX}. There are no other templates to include, and no \
         methods: `user.name.upper()` is written `user.name | upper`.\n"
    );
    text
}

fn words(text: &mut String, title: &str, form: &str, words: &[Word]) {
    let _infallible = write!(text, "## {title}\n\nWritten `{form}`.\n\n");
    let rows = words.iter().map(|word| {
        let names: Vec<String> = word.names().map(|name| format!("`{name}`")).collect();
        let (example, shows) = (format!("`{}`", word.example), format!("`{}`", word.shows));
        vec![names.join(", "), word.means.to_owned(), example, shows]
    });
    text.push_str(&table(&["name", "means", "example", "shows"], rows));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document::Text;
    use crate::rule::Template;

    #[test]
    fn every_example_shows_what_it_says() {
        for (_, template, shows) in EXAMPLES {
            let parsed = Template::line(&Text::bare(*template)).unwrap();
            assert_eq!(parsed.render(&sample::alert(), "-").text, *shows, "{template}");
        }
    }
}
