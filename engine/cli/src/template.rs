//! `--format`: the part of Go's template language that people use, on JSON values.
//!
//! Fields, variables, `index`, `range`, `if`, `with`, comparisons, and docker's functions (`json`, `join`, `upper`, …).

mod eval;
mod parse;
mod value;

use serde_json::Value;

pub(crate) use parse::Template;

use crate::table;

/// A missing field, a wrong argument, or a template that can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("template parsing error: template: :1: {0}")]
pub(crate) struct TemplateError(String);

impl TemplateError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Rows of a list in the format asked for: a table of `columns` (field, heading), `json`, `table TEMPLATE`, or
/// a template a row.
pub(crate) fn rows(
    format: Option<&str>,
    columns: &[(&str, &str)],
    default: &[&str],
    rows: &[Value],
) -> anyhow::Result<String> {
    let heading = |field: &str| {
        let known = columns.iter().find(|(name, _)| *name == field);
        known.map_or_else(|| field.to_uppercase(), |(_, heading)| (*heading).to_owned())
    };
    match format {
        None | Some("" | "table") => {
            let mut cells: Vec<Vec<String>> = vec![default.iter().map(|f| heading(f)).collect()];
            let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
            cells.extend(rows.iter().map(|row| default.iter().map(|f| text(row, f)).collect()));
            Ok(table::align(&cells))
        }
        Some("json") => Ok(rows.iter().map(|row| format!("{}\n", html_safe(&row.to_string()))).collect()),
        Some(format) => {
            let (body, headed) = match format.strip_prefix("table") {
                Some(rest) if rest.starts_with(char::is_whitespace) => (rest.trim_start(), true),
                _ => (format, false),
            };
            let body = body.replace("\\t", "\t").replace("\\n", "\n");
            let template = Template::parse(&body)?;
            let mut lines = Vec::new();
            if headed {
                let names = columns.iter().map(|(f, h)| ((*f).to_owned(), Value::from(*h)));
                lines.push(template.render(&Value::Object(names.collect()))?);
            }
            for row in rows {
                lines.push(template.render(row)?);
            }
            if headed {
                let cells: Vec<Vec<String>> =
                    lines.iter().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
                return Ok(table::align(&cells));
            }
            Ok(lines.iter().map(|line| format!("{line}\n")).collect())
        }
    }
}

/// As Go's encoder writes it.
fn html_safe(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, value: &Value) -> Result<String, TemplateError> {
        Template::parse(template)?.render(value)
    }

    fn sample() -> Value {
        json!({"Id": "abc", "State": {"Pid": 42, "Running": true}, "Args": ["a", "b"], "Empty": null,
            "Config": {"Labels": {"k.x": "v", "a": "b"}},
            "Net": {"bridge": {"IP": "172.17.0.2"}, "other": {"IP": "10.0.0.1"}}})
    }

    #[test]
    fn what_people_type_works() {
        let cases = [
            ("{{.State.Pid}}", "42"),
            ("{{ .Id }}-{{.State.Running}}", "abc-true"),
            ("{{json .State}}", r#"{"Pid":42,"Running":true}"#),
            ("{{.Args}} {{.Config.Labels}}", "[a b] map[a:b k.x:v]"),
            (r#"{{index .Config.Labels "k.x"}} {{index .Args 1}}"#, "v b"),
            ("{{range .Net}}{{.IP}} {{end}}", "172.17.0.2 10.0.0.1 "),
            ("{{range $k, $v := .Net}}{{$k}}={{$v.IP}};{{end}}", "bridge=172.17.0.2;other=10.0.0.1;"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            ("{{if eq .Id \"x\"}}1{{else if ne .Id \"x\"}}2{{end}}", "2"),
            ("{{with .State}}{{.Pid}}{{end}}", "42"),
            (r#"{{join .Args ", "}} {{upper .Id}} {{len .Args}} {{.Id | printf "%s!"}}"#, "a, b ABC 2 abc!"),
            ("a {{- .Id -}} b", "aabcb"),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            ("{{$.Id}}{{println}}", "abc\n"),
            ("{{(index .Net \"bridge\").IP}}", "172.17.0.2"),
            ("{{and .Id (not .Empty)}} {{or .Empty \"d\"}}", "true d"),
        ];
        for (template, wanted) in cases {
            assert_eq!(render(template, &sample()).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn missing_fields_and_broken_templates_are_errors() {
        for bad in [
            "{{.Nope}}",
            "{{.Id.X}}",
            "{{",
            "{{end}}",
            "{{range .Args}}",
            "{{frob .Id}}",
            "{{index .Args 9}}",
        ] {
            assert!(render(bad, &sample()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_table_template_has_headings() {
        let rows_of = [json!({"ID": "1", "Names": "a-long-name"})];
        let columns = [("ID", "CONTAINER ID"), ("Names", "NAMES")];
        let text = rows(Some("table {{.ID}}\\t{{.Names}}"), &columns, &[], &rows_of).unwrap();
        assert_eq!(text, "CONTAINER ID   NAMES\n1              a-long-name\n");
        assert_eq!(rows(Some("{{.ID}}"), &columns, &[], &rows_of).unwrap(), "1\n");
    }
}
