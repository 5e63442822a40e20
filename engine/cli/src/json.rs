//! JSON as people read it, in the daemon's own order of fields.

/// Indents by four spaces without parsing numbers or sorting keys.
pub(crate) fn indent(text: &str, level: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (level, false, false);
    let mut chars = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("    "));
    };
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => in_string = false,
                _ => escaped = false,
            }
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.peek().is_some_and(|c| c.is_whitespace()) {
                    chars.next();
                }
                if let Some(close @ ('}' | ']')) = chars.peek().copied() {
                    chars.next();
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn order_and_numbers_stay_as_they_came() {
        let text = r#"{"b":1.50,"a":[],"c":{"x":"q: \"{,}\\"},"d":[1,2]}"#;
        let wanted = "{\n    \"b\": 1.50,\n    \"a\": [],\n    \"c\": {\n        \"x\": \"q: \\\"{,}\\\\\"\n    },\n    \"d\": [\n        1,\n        2\n    ]\n}";
        assert_eq!(super::indent(text, 0), wanted);
    }
}
