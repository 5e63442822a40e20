//! Text to nodes.

use serde_json::Value;

use super::TemplateError;

/// A template, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Template {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Show(Pipeline),
    /// `{{$x := …}}`.
    Let(String, Pipeline),
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range {
        vars: Vec<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Calls, each given the answer of the one before as its last argument.
pub(super) type Pipeline = Vec<Call>;

/// A term, or a function and its arguments.
pub(super) type Call = Vec<Term>;

#[derive(Debug)]
pub(super) enum Term {
    Literal(Value),
    Function(String),
    /// A start and the fields below it.
    Path(Start, Vec<String>),
}

#[derive(Debug)]
pub(super) enum Start {
    Dot,
    /// `$` is the empty name.
    Variable(String),
    Group(Pipeline),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
    /// `)` directly followed by fields.
    Fields(Vec<String>),
}

type Result<T> = std::result::Result<T, TemplateError>;

/// What ends a list of nodes.
#[derive(Debug, PartialEq)]
enum Stop {
    Eof,
    End,
    Else(Vec<Token>),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut pieces = split(text)?.into_iter();
        match block(&mut pieces)? {
            (nodes, Stop::Eof) => Ok(Self { nodes }),
            (_, other) => Err(TemplateError::new(format!("unexpected {other:?}"))),
        }
    }
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Text and actions, with `{{-` and `-}}` done.
fn split(text: &str) -> Result<Vec<Piece>> {
    let (mut pieces, mut rest, mut trim) = (Vec::new(), text, false);
    loop {
        let (before, after) = rest.split_once("{{").map_or((rest, None), |(b, a)| (b, Some(a)));
        let mut plain = if trim { before.trim_start() } else { before };
        let Some(after) = after else {
            pieces.push(Piece::Text(plain.to_owned()));
            return Ok(pieces);
        };
        let after = match after.strip_prefix("- ") {
            Some(inner) => {
                plain = plain.trim_end();
                inner
            }
            None => after,
        };
        pieces.push(Piece::Text(plain.to_owned()));
        let (action, behind) = after.split_once("}}").ok_or_else(|| TemplateError::new("unclosed action"))?;
        trim = action.ends_with(" -");
        let action = if trim { &action[..action.len() - 2] } else { action };
        let comment = action.trim_start().starts_with("/*");
        if !comment {
            pieces.push(Piece::Action(tokens(action)?));
        }
        rest = behind;
    }
}

fn tokens(action: &str) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let symbol = [":=", "(", "|", ","].into_iter().find(|s| rest.starts_with(*s));
        if let Some(symbol) = symbol {
            out.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else if first == ')' {
            out.push(Token::Symbol(")"));
            rest = &rest[1..];
            if rest.starts_with('.') {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                out.push(Token::Fields(fields(&rest[1..end])));
                rest = &rest[end..];
            }
        } else if first == '"' || first == '`' {
            let end = closing(rest, first).ok_or_else(|| TemplateError::new("unterminated quoted string"))?;
            let inner = &rest[1..end];
            out.push(Token::Text(if first == '"' { unquote(inner)? } else { inner.to_owned() }));
            rest = &rest[end + 1..];
        } else {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(TemplateError::new(format!("unexpected {first:?} in command")));
            }
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "._$-+".contains(c)
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped && quote == '"';
        ends.then_some(at)
    })
}

fn unquote(inner: &str) -> Result<String> {
    let json = format!("\"{inner}\"");
    serde_json::from_str(&json).map_err(|_| TemplateError::new(format!("bad string {json}")))
}

fn fields(text: &str) -> Vec<String> {
    text.split('.').filter(|f| !f.is_empty()).map(str::to_owned).collect()
}

fn block(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Stop)> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let keyword = match tokens.first() {
            Some(Token::Word(word)) => word.as_str(),
            _ => "",
        };
        match keyword {
            "end" => return Ok((nodes, Stop::End)),
            "else" => return Ok((nodes, Stop::Else(tokens[1..].to_vec()))),
            "if" => nodes.push(conditional(&tokens[1..], pieces)?),
            "with" => {
                let value = pipeline(&tokens[1..])?;
                let (body, otherwise) = body(pieces)?;
                nodes.push(Node::With(value, body, otherwise));
            }
            "range" => {
                let (vars, over) = assignment(&tokens[1..])?;
                let (body, otherwise) = body(pieces)?;
                nodes.push(Node::Range { vars, over, body, otherwise });
            }
            _ => match assignment(&tokens)? {
                (vars, value) if vars.is_empty() => nodes.push(Node::Show(value)),
                (vars, value) => nodes.push(Node::Let(vars.concat(), value)),
            },
        }
    }
    Ok((nodes, Stop::Eof))
}

fn body(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Vec<Node>)> {
    let (first, stop) = block(pieces)?;
    match stop {
        Stop::End => Ok((first, Vec::new())),
        Stop::Else(rest) if rest.is_empty() => match block(pieces)? {
            (second, Stop::End) => Ok((first, second)),
            _ => Err(TemplateError::new("unexpected EOF")),
        },
        _ => Err(TemplateError::new("unexpected EOF")),
    }
}

fn conditional(condition: &[Token], pieces: &mut impl Iterator<Item = Piece>) -> Result<Node> {
    let mut branches = Vec::new();
    let mut condition = pipeline(condition)?;
    loop {
        let (nodes, stop) = block(pieces)?;
        branches.push((condition, nodes));
        match stop {
            Stop::End => return Ok(Node::If(branches, Vec::new())),
            Stop::Else(rest) if rest.is_empty() => {
                return match block(pieces)? {
                    (otherwise, Stop::End) => Ok(Node::If(branches, otherwise)),
                    _ => Err(TemplateError::new("unexpected EOF")),
                };
            }
            Stop::Else(rest) if rest.first() == Some(&Token::Word("if".into())) => {
                condition = pipeline(&rest[1..])?;
            }
            _ => return Err(TemplateError::new("unexpected EOF")),
        }
    }
}

/// `$a, $b := pipeline`, or a pipeline alone.
fn assignment(tokens: &[Token]) -> Result<(Vec<String>, Pipeline)> {
    let Some(at) = tokens.iter().position(|t| *t == Token::Symbol(":=")) else {
        return Ok((Vec::new(), pipeline(tokens)?));
    };
    let names = tokens[..at].iter().filter_map(|t| match t {
        Token::Word(word) => word.strip_prefix('$').map(str::to_owned),
        _ => None,
    });
    Ok((names.collect(), pipeline(&tokens[at + 1..])?))
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline> {
    let mut tokens = tokens.iter().cloned().collect::<std::collections::VecDeque<_>>();
    let out = calls(&mut tokens)?;
    if tokens.is_empty() { Ok(out) } else { Err(TemplateError::new("unexpected \")\"")) }
}

fn calls(tokens: &mut std::collections::VecDeque<Token>) -> Result<Pipeline> {
    let (mut out, mut call) = (Vec::new(), Vec::new());
    loop {
        match tokens.front() {
            None | Some(Token::Symbol(")")) => break,
            Some(Token::Symbol("|")) => {
                tokens.pop_front();
                out.push(std::mem::take(&mut call));
            }
            Some(_) => call.push(term(tokens)?),
        }
    }
    out.push(call);
    if out.iter().any(Vec::is_empty) { Err(TemplateError::new("missing value for command")) } else { Ok(out) }
}

fn term(tokens: &mut std::collections::VecDeque<Token>) -> Result<Term> {
    match tokens.pop_front() {
        Some(Token::Text(text)) => Ok(Term::Literal(Value::String(text))),
        Some(Token::Symbol("(")) => {
            let inner = calls(tokens)?;
            if tokens.pop_front() != Some(Token::Symbol(")")) {
                return Err(TemplateError::new("unclosed left paren"));
            }
            let below = match tokens.front() {
                Some(Token::Fields(list)) => list.clone(),
                _ => Vec::new(),
            };
            if !below.is_empty() {
                tokens.pop_front();
            }
            Ok(Term::Path(Start::Group(inner), below))
        }
        Some(Token::Word(word)) => Ok(word_term(&word)),
        other => Err(TemplateError::new(format!("unexpected {other:?}"))),
    }
}

fn word_term(word: &str) -> Term {
    if let Some(rest) = word.strip_prefix('.') {
        return Term::Path(Start::Dot, fields(rest));
    }
    if let Some(rest) = word.strip_prefix('$') {
        let (name, below) = rest.split_once('.').unwrap_or((rest, ""));
        return Term::Path(Start::Variable(name.to_owned()), fields(below));
    }
    match word {
        "true" => Term::Literal(true.into()),
        "false" => Term::Literal(false.into()),
        "nil" => Term::Literal(Value::Null),
        _ => match serde_json::from_str::<Value>(word) {
            Ok(number @ Value::Number(_)) => Term::Literal(number),
            _ => Term::Function(word.to_owned()),
        },
    }
}
