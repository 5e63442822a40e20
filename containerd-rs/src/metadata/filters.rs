//! containerd's filter language.
//!
//! ```text
//! filter   = selector ("," selector)*             all must hold
//! selector = field [ ("==" | "!=" | "~=") value ] a bare field asks for presence
//! field    = name ("." name)*                     a name may be quoted
//! value    = quoted | word, after ~= also /re/ and |re|
//! ```
//! A list of filters lets through what one of them lets through; an empty list lets all through.

use regex::Regex;

use super::labels::Labels;
use crate::error::{Error, Result};

/// Bytes a compiled pattern may take.
const MAX_REGEX: usize = 1 << 20;

/// A parsed list of filters.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    any: Vec<Vec<Selector>>,
}

#[derive(Clone, Debug)]
struct Selector {
    field: Vec<String>,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Filters {
    /// Parses a list as requests carry it.
    ///
    /// # Errors
    /// Invalid argument with the place of the mistake.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self> {
        let mut any = Vec::with_capacity(list.len());
        for text in list {
            let parser = Parser { input: text.as_ref(), at: 0 };
            let filter = parser.filter().map_err(|m| m.into_error(text.as_ref()))?;
            if filter.is_empty() {
                return Ok(Self::default());
            }
            any.push(filter);
        }
        Ok(Self { any })
    }

    /// Whether something passes; `field` gives its values by path.
    pub fn matches(&self, field: &dyn Fn(&[&str]) -> Option<String>) -> bool {
        self.any.is_empty() || self.any.iter().any(|all| all.iter().all(|s| s.holds(field)))
    }
}

impl Selector {
    fn holds(&self, field: &dyn Fn(&[&str]) -> Option<String>) -> bool {
        let path: Vec<&str> = self.field.iter().map(String::as_str).collect();
        let value = field(&path);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(wanted) => value.as_ref() == Some(wanted),
            Test::NotEqual(wanted) => value.as_ref() != Some(wanted),
            Test::Matches(pattern) => value.is_some_and(|v| pattern.is_match(&v)),
        }
    }
}

/// The value of `labels.K`: the rest of the path, joined again, is the key.
pub fn labels_field(labels: &Labels, rest: &[&str]) -> Option<String> {
    labels.get(&rest.join(".")).cloned()
}

struct Mistake {
    from: usize,
    to: usize,
    what: String,
}

impl Mistake {
    fn into_error(self, input: &str) -> Error {
        let (before, rest) = input.split_at(self.from);
        let (token, after) = rest.split_at(self.to - self.from);
        Error::invalid(format!("filters: parse error: [{before} >|{token}|< {after}]: {}", self.what))
    }
}

struct Parser<'a> {
    input: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn filter(mut self) -> std::result::Result<Vec<Selector>, Mistake> {
        let mut all = Vec::new();
        self.blanks();
        if self.peek().is_none() {
            return Ok(all);
        }
        loop {
            all.push(self.selector()?);
            self.blanks();
            match self.peek() {
                None => return Ok(all),
                Some(',') => self.at += 1,
                Some(_) => return Err(self.mistake_here("expected a comma or the end")),
            }
        }
    }

    fn selector(&mut self) -> std::result::Result<Selector, Mistake> {
        let mut field = vec![self.name()?];
        while self.peek() == Some('.') {
            self.at += 1;
            field.push(self.name()?);
        }
        self.blanks();
        let start = self.at;
        while self.peek().is_some_and(|c| "=!~<>".contains(c)) {
            self.at += 1;
        }
        let test = match &self.input[start..self.at] {
            "" => Test::Present,
            "==" => Test::Equal(self.value(false)?),
            "!=" => Test::NotEqual(self.value(false)?),
            "~=" => {
                self.blanks();
                let from = self.at;
                let pattern = self.value(true)?;
                let built = regex::RegexBuilder::new(&pattern).size_limit(MAX_REGEX).build();
                Test::Matches(built.map_err(|e| Mistake { from, to: self.at, what: e.to_string() })?)
            }
            other => {
                let what = format!("unsupported operator {other:?}");
                return Err(Mistake { from: start, to: self.at, what });
            }
        };
        Ok(Selector { field, test })
    }

    fn name(&mut self) -> std::result::Result<String, Mistake> {
        self.blanks();
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.advance();
        }
        if start == self.at {
            return Err(self.mistake_here("expected field or quoted"));
        }
        Ok(self.input[start..self.at].to_owned())
    }

    fn value(&mut self, is_pattern: bool) -> std::result::Result<String, Mistake> {
        self.blanks();
        match self.peek() {
            Some('"') => self.quoted(),
            Some(mark @ ('/' | '|')) if is_pattern => self.delimited(mark),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| !c.is_whitespace() && c != ',') {
                    self.advance();
                }
                if start == self.at {
                    return Err(self.mistake_here("expected value or quoted"));
                }
                Ok(self.input[start..self.at].to_owned())
            }
        }
    }

    /// A pattern between marks; a mark inside is escaped.
    fn delimited(&mut self, mark: char) -> std::result::Result<String, Mistake> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.advance();
            match c {
                c if c == mark => return Ok(text),
                '\\' if self.peek() == Some(mark) => {
                    self.advance();
                    text.push(mark);
                }
                c => text.push(c),
            }
        }
        Err(Mistake { from: start, to: self.at, what: "quoted literal not terminated".into() })
    }

    /// A string in Go's syntax.
    fn quoted(&mut self) -> std::result::Result<String, Mistake> {
        let start = self.at;
        self.at += 1;
        let mut text: Vec<u8> = Vec::new();
        while let Some(c) = self.peek() {
            self.advance();
            match c {
                '"' => {
                    return String::from_utf8(text).map_err(|_| Mistake {
                        from: start,
                        to: self.at,
                        what: "quoted literal is no UTF-8".into(),
                    });
                }
                '\\' => self.escape(start, &mut text)?,
                c => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(Mistake { from: start, to: self.at, what: "quoted literal not terminated".into() })
    }

    fn escape(&mut self, start: usize, text: &mut Vec<u8>) -> std::result::Result<(), Mistake> {
        let c = self.peek();
        if c.is_some() {
            self.advance();
        }
        let byte = match c {
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 11,
            Some(c @ ('\\' | '"' | '\'')) => c as u8,
            Some('x') => match self.number(2, 16).and_then(|n| u8::try_from(n).ok()) {
                Some(byte) => byte,
                None => return Err(self.bad_escape(start)),
            },
            Some(mark @ ('u' | 'U')) => {
                let digits = if mark == 'u' { 4 } else { 8 };
                let Some(c) = self.number(digits, 16).and_then(char::from_u32) else {
                    return Err(self.bad_escape(start));
                };
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            Some('0'..='7') => {
                self.at -= 1;
                match self.number(3, 8).and_then(|n| u8::try_from(n).ok()) {
                    Some(byte) => byte,
                    None => return Err(self.bad_escape(start)),
                }
            }
            _ => return Err(self.bad_escape(start)),
        };
        text.push(byte);
        Ok(())
    }

    fn number(&mut self, digits: usize, radix: u32) -> Option<u32> {
        let text = self.input.get(self.at..self.at + digits)?;
        let value = u32::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'))?;
        self.at += digits;
        Some(value)
    }

    fn bad_escape(&self, start: usize) -> Mistake {
        Mistake { from: start, to: self.at, what: "illegal escape sequence".into() }
    }

    fn mistake_here(&self, what: &str) -> Mistake {
        let width = self.peek().map_or(0, char::len_utf8);
        Mistake { from: self.at, to: self.at + width, what: what.into() }
    }

    fn peek(&self) -> Option<char> {
        self.input[self.at..].chars().next()
    }

    fn advance(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &[&str]) -> bool {
        let labels =
            Labels::from([("a.b/c".into(), "x,y".into()), ("buildkit/lease.temporary".into(), "t".into())]);
        let filters = Filters::parse(filter).expect("valid");
        filters.matches(&|path: &[&str]| match path {
            ["id"] => Some("c1".into()),
            ["target", "digest"] => Some("sha256:ab".into()),
            ["labels", rest @ ..] => labels_field(&labels, rest),
            _ => None,
        })
    }

    #[test]
    fn selectors_hold_as_containerds() {
        for yes in [
            &[][..],
            &[""],
            &["id"],
            &["id==c1"],
            &["id == \"c1\""],
            &["id!=c2"],
            &["nothing!=c2"],
            &["id~=^c"],
            &["id~=/^c[0-9]/"],
            &["id~=|^c|"],
            &["id==c2", "id==c1"],
            &["id==c1, target.digest==sha256:ab"],
            &["labels.\"a.b/c\"==\"x,y\""],
            &["labels.\"buildkit/lease.temporary\""],
            &["labels.\"a.b/c\"~=\"x\\x2cy\""],
        ] {
            assert!(passes(yes), "{yes:?}");
        }
        for no in [
            &["nothing"][..],
            &["nothing==x"],
            &["id==c2"],
            &["id!=c1"],
            &["id~=^d"],
            &["id==c1,target.digest==sha256:cd"],
        ] {
            assert!(!passes(no), "{no:?}");
        }
    }

    #[test]
    fn a_mistake_is_shown_at_its_place() {
        let error = Filters::parse(&["id=x"]).expect_err("no such operator");
        assert_eq!(error.to_string(), "filters: parse error: [id >|=|< x]: unsupported operator \"=\"");
        for bad in ["==x", "id==", "id==\"x", "id~=/x", "id==x y", "id~=(", "id==\"\\q\"", ","] {
            assert!(Filters::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
