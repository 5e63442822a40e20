//! Nodes to text.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;
use super::parse::{Call, Node, Pipeline, Start, Template, Term};
use super::value::{show, truth};

type Result<T> = std::result::Result<T, TemplateError>;

struct Scope {
    root: Value,
    variables: Vec<(String, Value)>,
}

impl Template {
    pub(crate) fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        let mut scope = Scope { root: value.clone(), variables: Vec::new() };
        nodes(&self.nodes, value, &mut scope, &mut out)?;
        Ok(out)
    }
}

fn nodes(list: &[Node], dot: &Value, scope: &mut Scope, out: &mut String) -> Result<()> {
    let depth = scope.variables.len();
    for node in list {
        one(node, dot, scope, out)?;
    }
    scope.variables.truncate(depth);
    Ok(())
}

fn one(node: &Node, dot: &Value, scope: &mut Scope, out: &mut String) -> Result<()> {
    match node {
        Node::Text(text) => out.push_str(text),
        Node::Show(value) => out.push_str(&show(&pipeline(value, dot, scope)?)),
        Node::Let(name, value) => {
            let value = pipeline(value, dot, scope)?;
            scope.variables.push((name.clone(), value));
        }
        Node::If(branches, otherwise) => {
            for (condition, body) in branches {
                if truth(&pipeline(condition, dot, scope)?) {
                    return nodes(body, dot, scope, out);
                }
            }
            nodes(otherwise, dot, scope, out)?;
        }
        Node::With(value, body, otherwise) => {
            let value = pipeline(value, dot, scope)?;
            if truth(&value) {
                nodes(body, &value, scope, out)?;
            } else {
                nodes(otherwise, dot, scope, out)?;
            }
        }
        Node::Range { vars, over, body, otherwise } => {
            let items: Vec<(Value, Value)> = match pipeline(over, dot, scope)? {
                Value::Array(list) => list.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect(),
                Value::Object(map) => {
                    // As Go: in the order of the keys.
                    let mut sorted: Vec<(String, Value)> = map.into_iter().collect();
                    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
                    sorted.into_iter().map(|(k, v)| (k.into(), v)).collect()
                }
                Value::Null => Vec::new(),
                other => {
                    return Err(TemplateError::new(format!("range can't iterate over {}", show(&other))));
                }
            };
            if items.is_empty() {
                return nodes(otherwise, dot, scope, out);
            }
            for (key, value) in items {
                let depth = scope.variables.len();
                match vars.as_slice() {
                    [v] => scope.variables.push((v.clone(), value.clone())),
                    [k, v] => {
                        scope.variables.push((k.clone(), key));
                        scope.variables.push((v.clone(), value.clone()));
                    }
                    _ => {}
                }
                nodes(body, &value, scope, out)?;
                scope.variables.truncate(depth);
            }
        }
    }
    Ok(())
}

fn pipeline(calls: &Pipeline, dot: &Value, scope: &mut Scope) -> Result<Value> {
    let mut last = None;
    for one in calls {
        last = Some(call(one, last, dot, scope)?);
    }
    Ok(last.unwrap_or(Value::Null))
}

fn call(call: &Call, piped: Option<Value>, dot: &Value, scope: &mut Scope) -> Result<Value> {
    let [first, rest @ ..] = call.as_slice() else {
        return Err(TemplateError::new("missing value for command"));
    };
    let Term::Function(name) = first else {
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::new("can't give argument to non-function"));
        }
        return term(first, dot, scope);
    };
    let mut args = rest.iter().map(|t| term(t, dot, scope)).collect::<Result<Vec<_>>>()?;
    args.extend(piped);
    function(name, &args)
}

fn term(term: &Term, dot: &Value, scope: &mut Scope) -> Result<Value> {
    match term {
        Term::Literal(value) => Ok(value.clone()),
        Term::Function(name) => function(name, &[]),
        Term::Path(start, fields) => {
            let mut value = match start {
                Start::Dot => dot.clone(),
                Start::Variable(name) if name.is_empty() => scope.root.clone(),
                Start::Variable(name) => {
                    let found = scope.variables.iter().rev().find(|(n, _)| n == name);
                    found
                        .map(|(_, v)| v.clone())
                        .ok_or_else(|| TemplateError::new(format!("undefined variable \"${name}\"")))?
                }
                Start::Group(inner) => pipeline(inner, dot, scope)?,
            };
            for field in fields {
                value = match value {
                    Value::Object(mut map) => map
                        .remove(field)
                        .ok_or_else(|| TemplateError::new(format!("map has no entry for key \"{field}\"")))?,
                    Value::Null => {
                        return Err(TemplateError::new(format!(
                            "nil pointer evaluating interface {{}}.{field}"
                        )));
                    }
                    other => {
                        return Err(TemplateError::new(format!(
                            "can't evaluate field {field} in {}",
                            show(&other)
                        )));
                    }
                };
            }
            Ok(value)
        }
    }
}

fn function(name: &str, args: &[Value]) -> Result<Value> {
    let text = |at: usize| args.get(at).map(show).unwrap_or_default();
    let needs = |n: usize| {
        let wrong =
            || TemplateError::new(format!("wrong number of args for {name}: want {n} got {}", args.len()));
        if args.len() < n { Err(wrong()) } else { Ok(()) }
    };
    match name {
        "json" => needs(1).map(|()| args[0].to_string().into()),
        "len" => {
            needs(1)?;
            match &args[0] {
                Value::Array(list) => Ok(list.len().into()),
                Value::Object(map) => Ok(map.len().into()),
                Value::Null => Ok(0.into()),
                other => Ok(show(other).len().into()),
            }
        }
        "index" => {
            needs(1)?;
            args[1..].iter().try_fold(args[0].clone(), |value, key| index(&value, key))
        }
        "join" => {
            needs(2)?;
            let parts =
                args[0].as_array().map(|l| l.iter().map(show).collect::<Vec<_>>()).unwrap_or_default();
            Ok(parts.join(&text(1)).into())
        }
        "split" => {
            needs(2)?;
            Ok(text(0).split(&text(1)).map(str::to_owned).collect::<Vec<_>>().into())
        }
        "upper" => Ok(text(0).to_uppercase().into()),
        "lower" => Ok(text(0).to_lowercase().into()),
        "title" => {
            let text = text(0);
            let mut chars = text.chars();
            Ok(chars
                .next()
                .map(|c| c.to_uppercase().chain(chars).collect::<String>())
                .unwrap_or_default()
                .into())
        }
        "truncate" => {
            needs(2)?;
            let width = args[1].as_u64().unwrap_or(0) as usize;
            Ok(text(0).chars().take(width).collect::<String>().into())
        }
        "print" => Ok(args.iter().map(show).collect::<String>().into()),
        "println" => Ok(format!("{}\n", args.iter().map(show).collect::<Vec<_>>().join(" ")).into()),
        "printf" => needs(1).map(|()| printf(&text(0), &args[1..]).into()),
        "not" => needs(1).map(|()| (!truth(&args[0])).into()),
        "and" => Ok(args.iter().find(|a| !truth(a)).or(args.last()).cloned().unwrap_or(Value::Null)),
        "or" => Ok(args.iter().find(|a| truth(a)).or(args.last()).cloned().unwrap_or(Value::Null)),
        "eq" => needs(2).map(|()| args[1..].contains(&args[0]).into()),
        "ne" => needs(2).map(|()| (args[0] != args[1]).into()),
        "lt" | "le" | "gt" | "ge" => {
            needs(2)?;
            let order = compare(&args[0], &args[1]);
            let holds = match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            };
            Ok(holds.into())
        }
        _ => Err(TemplateError::new(format!("function \"{name}\" not defined"))),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value> {
    match (value, key) {
        // A map answers its zero value for what it hasn't.
        (Value::Object(map), key) => Ok(map.get(&show(key)).cloned().unwrap_or_else(|| "".into())),
        (Value::Array(list), Value::Number(n)) => {
            let at = n.as_u64().and_then(|n| list.get(n as usize));
            at.cloned()
                .ok_or_else(|| TemplateError::new(format!("error calling index: index out of range: {n}")))
        }
        (other, _) => Err(TemplateError::new(format!("error calling index: can't index {}", show(other)))),
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => show(a).cmp(&show(b)),
    }
}

/// `%s %v %d %q %%`; width and precision are passed over.
fn printf(format: &str, args: &[Value]) -> String {
    let (mut out, mut args, mut chars) = (String::new(), args.iter(), format.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = chars.by_ref().find(|c| c.is_alphabetic() || *c == '%');
        match verb {
            Some('%') => out.push('%'),
            Some('q') => out.push_str(&args.next().map(|v| format!("{:?}", show(v))).unwrap_or_default()),
            Some(_) => out.push_str(&args.next().map(show).unwrap_or_default()),
            None => {}
        }
    }
    out
}
