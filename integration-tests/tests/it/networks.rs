//! A container's networks: the way out, published ports, names, and that they are apart.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use integration_tests::{Daemon, Netns, eventually, in_netns};

use crate::clients::{IMAGE, Place, on_each};

const PAGE: &str = "hello from inside";

/// A container with a web server.
fn serve(at: &Place<'_>, name: &str, options: &[&str]) {
    let run = [&["run", "-d", "--name", name], options, &[IMAGE, "httpd", "-f", "-h", "/www"]].concat();
    at.run(&run).ok();
}

/// What a URL gives within a few seconds, from `netns`.
fn get(netns: &Netns, url: &str) -> String {
    netns.shell(&format!("curl -sg --max-time 2 http://{url}/")).stdout.trim().to_owned()
}

/// What a URL gives inside a container.
fn get_inside(at: &Place<'_>, container: &str, url: &str) -> String {
    get_within(at, container, url, "5")
}

/// Nothing comes from there, for a second.
#[track_caller]
fn unreached(at: &Place<'_>, container: &str, url: &str) {
    assert_eq!(get_within(at, container, url, "1"), "", "{}: {container} reaches {url}", at.name);
}

fn get_within(at: &Place<'_>, container: &str, url: &str, seconds: &str) -> String {
    let url = format!("http://{url}/");
    at.run(&["exec", container, "busybox", "timeout", seconds, "wget", "-qO-", &url]).stdout.trim().to_owned()
}

fn netns_of(at: &Place<'_>, container: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/ns/net", at.field("{{.State.Pid}}", container)))
}

/// Answers one datagram after the other with who had sent it, as long as the namespace's container lives.
fn echo(netns: &Path, port: u16) {
    let socket = in_netns(netns, || UdpSocket::bind(("0.0.0.0", port)).expect("a port"));
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(from.ip().to_string().as_bytes(), from);
        }
    });
}

/// Asks [`echo`] from `netns`; nothing if no answer comes from that very address.
fn ask(netns: &Path, to: &str) -> Option<String> {
    let to: SocketAddr = to.parse().expect("an address");
    let socket = in_netns(netns, || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect(to).map(|()| socket)
    });
    let socket = socket.ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    socket.send(b"?").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn containers_reach_the_outside_by_the_hosts_address_and_are_not_reached_from_there() {
    on_each(|at| {
        let outside = at.netns.outside();
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("index.html"), "outside").expect("write the page");
        let mut httpd = outside.command("busybox");
        httpd.args(["httpd", "-f", "-h"]).arg(dir.path());
        let _httpd = Daemon::start("httpd", httpd, &dir.path().join("log"));
        echo(&outside.path(), 53);
        at.run(&["network", "create", "n1"]).ok();
        at.run(&["network", "create", "--internal", "shut"]).ok();
        // Even who knows the way must not get in.
        outside.shell("ip route add 172.16.0.0/12 via 10.98.0.1").ok();
        for network in ["bridge", "n1"] {
            serve(at, "box", &["--network", network]);
            eventually("the outside serves", || (get(&outside, "127.0.0.1") == "outside").then_some(()));
            assert_eq!(get_inside(at, "box", "10.98.0.2"), "outside", "{} {network}", at.name);
            let seen_as = ask(&netns_of(at, "box"), "10.98.0.2:53");
            assert_eq!(seen_as.as_deref(), Some("10.98.0.1"), "{} {network}", at.name);
            let ip = at.field("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "box");
            assert_eq!(get(at.netns, &ip), PAGE, "{} {network}", at.name);
            assert_eq!(get(&outside, &ip), "", "{} {network}", at.name);
            at.remove(&["box"]);
        }
        serve(at, "box", &["--network", "shut"]);
        unreached(at, "box", "10.98.0.2");
        at.remove(&["box"]);
        at.run(&["network", "rm", "n1", "shut"]).ok();
    });
}

#[test]
fn published_ports_answer_on_loopback_from_outside_and_from_containers() {
    on_each(|at| {
        let outside = at.netns.outside();
        let options = ["-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "5353:53/udp"];
        serve(at, "web", &options);
        serve(at, "other", &[]);
        at.run(&["network", "create", "n1"]).ok();
        serve(at, "far", &["--network", "n1"]);
        echo(&netns_of(at, "web"), 53);
        for url in ["127.0.0.1:8080", "localhost:8080", "10.98.0.1:8080", "172.17.0.1:8080", "127.0.0.1:8081"]
        {
            assert_eq!(get(at.netns, url), PAGE, "{}: {url} from the host", at.name);
        }
        assert_eq!(get(&outside, "10.98.0.1:8080"), PAGE, "{}: from outside", at.name);
        assert_eq!(get(&outside, "10.98.0.1:8081"), "", "{}: a port of 127.0.0.1, from outside", at.name);
        for container in ["web", "other", "far"] {
            assert_eq!(get_inside(at, container, "10.98.0.1:8080"), PAGE, "{}: from {container}", at.name);
        }
        for (netns, to) in [
            (at.netns.path(), "127.0.0.1:5353"),
            (at.netns.path(), "10.98.0.1:5353"),
            (outside.path(), "10.98.0.1:5353"),
            (netns_of(at, "other"), "172.17.0.1:5353"),
        ] {
            assert!(ask(&netns, to).is_some(), "{}: no answer from {to}/udp in {}", at.name, netns.display());
        }
        assert_eq!(ask(&outside.path(), "10.98.0.1:5353").as_deref(), Some("10.98.0.2"), "{}", at.name);
        at.remove(&["web", "other", "far"]);
        at.run(&["network", "rm", "n1"]).ok();
    });
}

#[test]
fn a_published_ports_lines_are_dockers_and_it_is_free_again_after_the_container() {
    on_each(|at| {
        serve(
            at,
            "web",
            &["-p", "127.0.0.1:8081:80", "-p", "127.0.0.1::81", "-p", "127.0.0.1:9000-9001:9000-9001/udp"],
        );
        let random = at.run(&["port", "web", "81"]).ok();
        let ip_and_port = random.strip_prefix("127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
        assert!(ip_and_port.is_some_and(|port| port >= 1024), "{}: {random}", at.name);
        assert_eq!(at.run(&["port", "web", "80/tcp"]).ok(), "127.0.0.1:8081", "{}", at.name);
        assert_eq!(at.run(&["port", "web", "9001/udp"]).ok(), "127.0.0.1:9001", "{}", at.name);
        at.refused(&["port", "web", "99"], 1, "No public port '99' published for web");
        let shown = at.run(&["ps", "--format", "{{.Ports}}"]).ok();
        for part in ["127.0.0.1:8081->80/tcp", "127.0.0.1:9000-9001->9000-9001/udp"] {
            assert!(shown.contains(part), "{}: {part} isn't in {shown}", at.name);
        }
        let words = "Bind for 127.0.0.1:8081 failed: port is already allocated";
        at.refused(&["run", "--name", "second", "-p", "127.0.0.1:8081:80", IMAGE, "true"], 125, words);
        assert_eq!(at.field("{{.State.Status}} {{.State.ExitCode}}", "second"), "created 128", "{}", at.name);
        at.run(&["stop", "-t", "0", "web"]).ok();
        assert_eq!(at.run(&["start", "second"]).code, 0, "{}: the port isn't free again", at.name);
        at.remove(&["web", "second"]);
    });
}

#[test]
fn names_lead_to_containers_of_the_same_user_network_alone() {
    on_each(|at| {
        for network in ["n1", "n2"] {
            at.run(&["network", "create", network]).ok();
        }
        serve(at, "web", &["--network", "n1", "--network-alias", "api"]);
        serve(at, "near", &["--network", "n1", "--network-alias", "api"]);
        serve(at, "far", &["--network", "n2"]);
        serve(at, "plain", &[]);
        let id = at.field("{{.Id}}", "web");
        for name in ["web", "WEB", "web.n1", "api", &id[..12]] {
            assert_eq!(get_inside(at, "near", name), PAGE, "{}: {name}", at.name);
        }
        for (from, to) in
            [("far", "web"), ("near", "far"), ("near", "plain"), ("plain", "web"), ("plain", "plain2")]
        {
            unreached(at, from, to);
        }
        // By address neither.
        let ip = at.field("{{.NetworkSettings.Networks.n1.IPAddress}}", "web");
        assert_eq!(get_inside(at, "near", &ip), PAGE, "{}", at.name);
        for from in ["far", "plain"] {
            unreached(at, from, &ip);
        }
        let both = at.run(&["exec", "far", "nslookup", "api", "127.0.0.11"]);
        assert!(!both.stdout.contains(&ip), "{}: {}", at.name, both.stdout);
        at.run(&["network", "connect", "n1", "far"]).ok();
        assert_eq!(get_inside(at, "far", "web"), PAGE, "{}: after connect", at.name);
        let both = at.run(&["exec", "far", "nslookup", "api", "127.0.0.11"]).stdout;
        let near = at.field("{{.NetworkSettings.Networks.n1.IPAddress}}", "near");
        assert!(both.contains(&ip) && both.contains(&near), "{}: an alias of two: {both}", at.name);
        at.run(&["network", "disconnect", "n1", "far"]).ok();
        unreached(at, "far", "web");
        at.run(&["rename", "web", "renamed"]).ok();
        assert_eq!(get_inside(at, "near", "renamed"), PAGE, "{}: after rename", at.name);
        at.run(&["restart", "-t", "0", "renamed"]).ok();
        assert_eq!(get_inside(at, "near", "renamed"), PAGE, "{}: after restart", at.name);
        at.refused(&["network", "rm", "n1"], 1, "has active endpoints");
        at.remove(&["renamed", "near", "far", "plain"]);
        at.run(&["network", "rm", "n1", "n2"]).ok();
    });
}

#[test]
fn none_has_loopback_alone_and_host_is_the_hosts_own() {
    on_each(|at| {
        let links = "ip -o link | cut -d: -f2 | tr -d ' \\n'";
        let none =
            at.run(&["run", "--rm", "--network", "none", IMAGE, "sh", "-c", &format!("{links}; ip route")]);
        assert_eq!(none.ok(), "lo", "{}", at.name);
        let _outside = at.netns.outside();
        let host = at.run(&["run", "--rm", "--network", "host", IMAGE, "sh", "-c", links]).ok();
        assert!(host.contains("uplink@"), "{}: {host}", at.name);
        let joined = "
            $C run -d --name box $I sleep 1000 >/dev/null
            $C run --rm --network container:box $I ip -o -4 addr show eth0 | grep -c inet
            $C rm -f box >/dev/null";
        assert_eq!(at.shell(joined).ok(), "1", "{}", at.name);
        at.refused(&["run", "--rm", "--network", "nosuch", IMAGE, "true"], 125, "network nosuch not found");
    });
}
