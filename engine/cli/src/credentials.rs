//! Registry credentials that `docker login` left in `config.json`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

/// The value of `X-Registry-Auth` for an image; empty credentials where none are kept.
pub(crate) fn header(image: &str) -> String {
    let known = lookup(&config().unwrap_or(Value::Null), registry(image));
    URL_SAFE.encode(known.unwrap_or_else(|| json!({})).to_string())
}

fn config() -> Option<Value> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(std::path::PathBuf::from);
    let dir = dir.or_else(|| Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".docker")))?;
    serde_json::from_slice(&std::fs::read(dir.join("config.json")).ok()?).ok()
}

/// The host part of an image's name.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "https://index.docker.io/v1/",
    }
}

fn lookup(config: &Value, registry: &str) -> Option<Value> {
    let entry = config.get("auths")?.get(registry)?;
    let decoded = STANDARD.decode(entry["auth"].as_str()?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(json!({"username": user, "password": password.trim_end_matches('\0'), "serveraddress": registry}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_the_images_host() {
        let config = json!({"auths": {"localhost:5000": {"auth": STANDARD.encode("me:secret")}}});
        let found = lookup(&config, registry("localhost:5000/a/b:c")).unwrap();
        assert_eq!((found["username"].as_str(), found["password"].as_str()), (Some("me"), Some("secret")));
        assert_eq!(registry("busybox"), registry("library/busybox"));
        assert!(lookup(&config, registry("busybox")).is_none());
    }
}
