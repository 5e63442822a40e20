//! D-Bus messages as bytes: what calls to systemd take (D-Bus specification, "Message Protocol"). Little endian. Pure.

/// A value of a message's body. Arrays know their elements' type, since they may be empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::I32(_) => "i".into(),
            Self::U32(_) => "u".into(),
            Self::I64(_) => "x".into(),
            Self::U64(_) => "t".into(),
            Self::Double(_) => "d".into(),
            Self::Text(_) => "s".into(),
            Self::Variant(_) => "v".into(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", fields.iter().map(Self::signature).collect::<String>()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        pad(out, alignment(&self.signature()));
        match self {
            Self::Byte(n) => out.push(*n),
            Self::Bool(b) => out.extend(u32::from(*b).to_le_bytes()),
            Self::I32(n) => out.extend(n.to_le_bytes()),
            Self::U32(n) => out.extend(n.to_le_bytes()),
            Self::I64(n) => out.extend(n.to_le_bytes()),
            Self::U64(n) => out.extend(n.to_le_bytes()),
            Self::Double(n) => out.extend(n.to_le_bytes()),
            Self::Text(text) => {
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
                out.push(0);
            }
            Self::Variant(inner) => {
                write_signature(out, &inner.signature());
                inner.write(out);
            }
            Self::Array(element, items) => {
                let at = out.len();
                out.extend([0; 4]);
                // The length leaves out the gap before the first element.
                pad(out, alignment(element));
                let start = out.len();
                items.iter().for_each(|item| item.write(out));
                let length = (out.len() - start) as u32;
                out[at..at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Self::Struct(fields) => fields.iter().for_each(|field| field.write(out)),
        }
    }
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}

fn write_signature(out: &mut Vec<u8>, signature: &str) {
    out.push(signature.len() as u8);
    out.extend(signature.as_bytes());
    out.push(0);
}

/// A method call.
pub(super) fn call(serial: u32, path: &str, interface: &str, member: &str, body: &[Value]) -> Vec<u8> {
    let mut content = Vec::new();
    body.iter().for_each(|value| value.write(&mut content));
    let signature: String = body.iter().map(Value::signature).collect();
    // Little endian, method call, no flags, version 1.
    let mut out = vec![b'l', 1, 0, 1];
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(serial.to_le_bytes());
    let at = out.len();
    out.extend([0; 4]);
    let fields =
        [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", "org.freedesktop.systemd1")];
    for (code, kind, text) in fields {
        pad(&mut out, 8);
        out.push(code);
        write_signature(&mut out, kind);
        Value::text(text).write(&mut out);
    }
    if !signature.is_empty() {
        pad(&mut out, 8);
        out.push(8);
        write_signature(&mut out, "g");
        write_signature(&mut out, &signature);
    }
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    pad(&mut out, 8);
    out.extend(content);
    out
}

/// What a message begins with: its length is known from it.
pub(super) const HEAD: usize = 16;

/// Bytes after the [`HEAD`], or `None` if this is no message of ours.
pub(super) fn rest(head: &[u8; HEAD]) -> Option<usize> {
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    let (body, fields) = (number(4)?, number(12)?);
    // The specification's bound of a whole message.
    let total = (HEAD + fields).next_multiple_of(8) + body;
    (head[0] == b'l' && total <= 1 << 27).then(|| total - HEAD)
}

/// A message received, as far as anybody looks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Message {
    /// 2 answer, 3 error, 4 signal.
    pub(super) kind: u8,
    pub(super) answers: u32,
    pub(super) error: String,
    pub(super) member: String,
    /// Texts of the body, in order; numbers are passed over.
    pub(super) texts: Vec<String>,
}

pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let mut message = Message { kind: *bytes.get(1)?, ..Message::default() };
    let mut reader = Reader { bytes, at: 12 };
    let end = HEAD + reader.u32()? as usize;
    let mut body = String::new();
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let kind = reader.signature()?;
        match kind.as_str() {
            "u" => {
                let number = reader.u32()?;
                if code == 5 {
                    message.answers = number;
                }
            }
            "g" => body = reader.signature()?,
            "s" | "o" => {
                let text = reader.text()?;
                match code {
                    3 => message.member = text,
                    4 => message.error = text,
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    reader.align(8);
    for kind in body.bytes() {
        match kind {
            b's' | b'o' => message.texts.push(reader.text()?),
            b'u' | b'i' | b'b' => drop(reader.u32()?),
            // Nothing that we ask for has more.
            _ => break,
        }
    }
    Some(message)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(part)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|part| part[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4).and_then(|part| Some(u32::from_le_bytes(part.try_into().ok()?)))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8(self.take(length)?.to_vec()).ok();
        self.byte()?;
        text
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.string(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()? as usize;
        self.string(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_and_arrays_count_their_elements_alone() {
        let pair = Value::Struct(vec![Value::text("a"), Value::Variant(Box::new(Value::U64(5)))]);
        let mut out = Vec::new();
        Value::Array("(sv)".into(), vec![pair]).write(&mut out);
        let expected = [
            &[24, 0, 0, 0, 0, 0, 0, 0][..],     // length, gap
            &[1, 0, 0, 0, b'a', 0],             // "a"
            &[1, b't', 0, 0, 0, 0, 0, 0, 0, 0], // the variant's type, gap
            &[5, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_message_of_ours_is_read_back() {
        let bytes = call(7, "/o", "i.f", "Do", &[Value::text("x"), Value::U32(3), Value::text("y")]);
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        assert_eq!(rest(&head), Some(bytes.len() - HEAD));
        let message = parse(&bytes).unwrap();
        assert_eq!((message.member.as_str(), message.texts), ("Do", vec!["x".to_owned(), "y".to_owned()]));
    }

    #[test]
    fn what_is_cut_or_lies_about_its_length_is_no_message() {
        let bytes = call(7, "/o", "i.f", "Do", &[Value::text("x")]);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(rest(&[b'l', 2, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255]), None);
    }
}
