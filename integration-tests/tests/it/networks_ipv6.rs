//! Published ports on the host's IPv6 addresses, though containers have IPv4 alone.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use integration_tests::{Netns, Stack, Victim, in_netns};

use crate::clients::{IMAGE, Place, on_each, on_engined};

const PAGE: &str = "hello from inside";

fn get(netns: &Netns, url: &str) -> String {
    netns.shell(&format!("curl -sg --max-time 2 http://{url}/")).stdout.trim().to_owned()
}

fn serve(at: &Place<'_>, ports: &[&str]) {
    let run = ["run", "-d", "--name", "web"];
    let ports: Vec<&str> = ports.iter().flat_map(|port| ["-p", port]).collect();
    at.run(&[&run[..], &ports, &[IMAGE, "httpd", "-f", "-h", "/www"]].concat()).ok();
}

/// Answers datagrams inside a container with their own text.
fn echo(at: &Place<'_>, port: u16) {
    let netns = format!("/proc/{}/ns/net", at.field("{{.State.Pid}}", "web"));
    let socket = in_netns(Path::new(&netns), || UdpSocket::bind(("0.0.0.0", port)).expect("a port"));
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// Two clients at once, so that their answers could be mixed up.
fn ask(netns: &Netns, to: &str) -> [Option<String>; 2] {
    let sockets = ["one", "two"].map(|text| {
        let socket = in_netns(&netns.path(), || UdpSocket::bind("[::]:0").expect("a socket"));
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        in_netns(&netns.path(), || socket.connect(to).and_then(|()| socket.send(text.as_bytes())))
            .expect("send");
        socket
    });
    sockets.map(|socket| {
        let mut buffer = [0; 64];
        socket.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

#[test]
fn a_port_of_every_address_is_one_of_ipv6_too() {
    on_each(|at| {
        let outside = at.netns.outside();
        serve(at, &["8080:80", "5353:53/udp"]);
        echo(at, 53);
        for url in ["127.0.0.1:8080", "[::1]:8080", "[fd98::1]:8080"] {
            assert_eq!(get(at.netns, url), PAGE, "{}: {url}", at.name);
        }
        assert_eq!(get(&outside, "[fd98::1]:8080"), PAGE, "{}: from outside", at.name);
        let both = ["one", "two"].map(|text| Some(text.to_owned()));
        assert_eq!(ask(at.netns, "[::1]:5353"), both, "{}: udp", at.name);
        assert_eq!(ask(&outside, "[fd98::1]:5353"), both, "{}: udp from outside", at.name);
        assert_eq!(at.run(&["port", "web", "80"]).ok(), "0.0.0.0:8080\n[::]:8080", "{}", at.name);
        let shown = at.run(&["ps", "--format", "{{.Ports}}"]).ok();
        for part in ["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp", "[::]:5353->53/udp"] {
            assert!(shown.contains(part), "{}: {part} isn't in {shown}", at.name);
        }
        at.run(&["stop", "-t", "0", "web"]).ok();
        assert_eq!(get(at.netns, "[::1]:8080"), "", "{}: after the end", at.name);
        at.run(&["start", "web"]).ok();
        assert_eq!(get(at.netns, "[::1]:8080"), PAGE, "{}: again", at.name);
        at.remove(&["web"]);
    });
}

#[test]
fn a_port_of_one_address_is_no_other_addresss() {
    on_each(|at| {
        let outside = at.netns.outside();
        serve(at, &["127.0.0.1:8081:80", "[::1]:8082:80"]);
        assert_eq!([get(at.netns, "127.0.0.1:8081"), get(at.netns, "[::1]:8082")], [PAGE; 2], "{}", at.name);
        for url in ["[::1]:8081", "127.0.0.1:8082", "10.98.0.1:8082", "[fd98::1]:8082"] {
            assert_eq!(get(at.netns, url), "", "{}: {url}", at.name);
        }
        for url in ["10.98.0.1:8081", "10.98.0.1:8082", "[fd98::1]:8081", "[fd98::1]:8082"] {
            assert_eq!(get(&outside, url), "", "{}: {url} from outside", at.name);
        }
        assert_eq!(
            at.run(&["port", "web"]).ok(),
            "80/tcp -> 127.0.0.1:8081\n80/tcp -> [::1]:8082",
            "{}",
            at.name
        );
        at.remove(&["web"]);
    });
}

#[test]
fn they_come_back_with_the_daemon() {
    let mut stack = Stack::start();
    on_engined(&stack, |at| {
        if at.name == "docker" {
            serve(at, &["8080:80"]);
        }
    });
    for victim in [Victim::Engined, Victim::Both] {
        stack.kill(victim);
        assert_eq!(get(&stack.netns, "127.0.0.1:8080"), PAGE, "{victim:?}: while it is dead");
        stack.start_missing();
        assert_eq!(get(&stack.netns, "[::1]:8080"), PAGE, "{victim:?}");
    }
    let taken = stack.docker(&["run", "--rm", "-p", "[::]:8080:80", IMAGE, "true"]);
    assert!(taken.stderr.contains("port is already allocated"), "{}", taken.stderr);
    stack.docker(&["rm", "-f", "web"]).ok();
}
