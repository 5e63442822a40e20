use super::*;

fn with_file(domain: &str, text: &str) -> (tempfile::TempDir, Vec<Host>) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let folder = dir.path().join(domain);
    std::fs::create_dir(&folder).expect("folder");
    std::fs::write(folder.join("hosts.toml"), text).expect("file");
    let hosts = of_domain(domain, Some(dir.path()), None, false).expect("hosts");
    (dir, hosts)
}

#[test]
fn hub_has_another_name_and_loopback_needs_no_tls() {
    let hub = &of_domain("docker.io", None, None, false).expect("hosts")[0];
    assert_eq!((hub.authority.as_str(), hub.scheme.as_deref()), ("registry-1.docker.io", Some("https")));
    for domain in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "[::1]"] {
        let host = &of_domain(domain, None, None, false).expect("hosts")[0];
        assert_eq!((host.scheme.as_deref(), host.skip_verify), (None, true), "{domain}");
    }
    for domain in ["example.com", "10.0.0.1:5000", "localhost.example.com", "[::2]:1"] {
        let host = &of_domain(domain, None, None, false).expect("hosts")[0];
        assert_eq!((host.scheme.as_deref(), host.skip_verify), (Some("https"), false), "{domain}");
    }
}

#[test]
fn hosts_toml_keeps_its_order_and_the_server_comes_last() {
    let text = r#"
server = "https://upstream.example"
capabilities = ["pull", "resolve"]
[host."https://z.example/mirror"]
capabilities = ["pull"]
skip_verify = true
ca = ["ca.pem"]
client = [["c.cert", "c.key"]]
[host."https://z.example/mirror".header]
x-token = ["a", "b"]
[host."http://a.example:81/raw"]
override_path = true
"#;
    let (dir, hosts) = with_file("example.com", text);
    let names: Vec<&str> = hosts.iter().map(|host| host.authority.as_str()).collect();
    assert_eq!(names, ["z.example", "a.example:81", "upstream.example"]);
    let first = &hosts[0];
    assert_eq!(
        (first.can_pull, first.can_resolve, first.can_push, first.skip_verify),
        (true, false, false, true)
    );
    assert_eq!(first.base("https").expect("url").as_str(), "https://z.example/mirror/v2/");
    assert_eq!(first.headers.get_all("x-token").iter().count(), 2);
    assert_eq!(first.authorities, [dir.path().join("example.com/ca.pem")]);
    assert!(first.identity.as_ref().is_some_and(|(cert, key)| cert.ends_with("c.cert") && key.is_some()));
    assert_eq!(hosts[1].base("http").expect("url").as_str(), "http://a.example:81/raw/");
    assert!(!hosts[2].can_push);
}

#[test]
fn dockers_certificate_files_count() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let folder = dir.path().join("example.com_5000_");
    std::fs::create_dir(&folder).expect("folder");
    for file in ["ca.crt", "client.cert", "client.key"] {
        std::fs::write(folder.join(file), "").expect("file");
    }
    let hosts = of_domain("example.com:5000", Some(dir.path()), None, false).expect("hosts");
    assert_eq!(hosts[0].authorities, [folder.join("ca.crt")]);
    assert_eq!(hosts[0].identity, Some((folder.join("client.cert"), Some(folder.join("client.key")))));
}

#[test]
fn a_broken_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir(dir.path().join("_default")).expect("folder");
    std::fs::write(dir.path().join("_default/hosts.toml"), "server = [").expect("file");
    let error = of_domain("example.com", Some(dir.path()), None, false).expect_err("broken");
    assert!(error.to_string().contains("_default/hosts.toml"), "{error}");
}
