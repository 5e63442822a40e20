//! The product in a network and mount namespace of the test's own, with busybox as the containers' processes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, OpCode},
    rr::{RData, Record, rdata::A},
};

use super::{record::EndpointIpam, *};

/// Re-runs the calling test under `unshare`, so that its namespaces, links and rules die with it. True in
/// the re-run.
fn own_namespaces(test: &str) -> bool {
    if std::env::var("ENGINE_TEST_INSIDE").as_deref() == Ok(test) {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        return true;
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("networks::tests::{test}"), "--nocapture"])
        .env("ENGINE_TEST_INSIDE", test)
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed inside its namespaces");
    false
}

struct Roots(tempfile::TempDir);

impl Roots {
    fn new() -> Self {
        Roots(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> Config {
        Config {
            data_root: self.0.path().join("data"),
            exec_root: self.0.path().join("exec"),
            pools: default_pools(),
            bip: None,
            device: "engine0".into(),
        }
    }

    async fn start(&self, live: &[&str]) -> Networks {
        let networks = Networks::open(self.config()).await.unwrap();
        networks.reconcile(live.iter().map(|id| id.repeat(64)).collect()).await.unwrap();
        networks
    }
}

fn request(id: &str, network: &str) -> Request {
    Request {
        id: id.repeat(64),
        name: format!("name-{id}"),
        hostname: id.repeat(12),
        domain: String::new(),
        mode: Mode::Networks,
        endpoints: BTreeMap::from([(network.to_owned(), EndpointSettings::default())]),
        exposed: Vec::new(),
        bindings: BTreeMap::new(),
        publish_all: false,
        dns: DnsOptions::default(),
        extra_hosts: Vec::new(),
    }
}

fn publishing(id: &str, network: &str, ip: &str, port: &str) -> Request {
    let binding = PortBinding { host_ip: ip.into(), host_port: port.into() };
    Request {
        exposed: vec!["80/tcp".into()],
        bindings: BTreeMap::from([("80/tcp".into(), Some(vec![binding]))]),
        ..request(id, network)
    }
}

fn inside(netns: &Path, command: &str) -> Output {
    Command::new("nsenter")
        .arg(format!("--net={}", netns.display()))
        .args(["sh", "-c", command])
        .output()
        .unwrap()
}

fn here(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn address(sandbox: &Sandbox, network: &str) -> String {
    sandbox.networks[network].ip_address.clone()
}

fn netns(sandbox: &Sandbox) -> PathBuf {
    sandbox.netns.clone().unwrap()
}

/// A web server inside, ended with the value.
struct Web(Child, #[allow(dead_code, reason = "keeps the directory")] tempfile::TempDir);

impl Web {
    fn start(netns: &Path, page: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("index.html"), page).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net={}", netns.display()))
            .args(["busybox", "httpd", "-f", "-p", "80", "-h"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let web = Web(child, directory);
        let end = Instant::now() + Duration::from_secs(10);
        while !inside(netns, "wget -q -t 1 -T 1 -O - http://127.0.0.1/").status.success() {
            assert!(Instant::now() < end, "the web server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        web
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn census() -> String {
    here("ip -br link | awk '{print $1}'; nft list ruleset")
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_the_default_bridge_reach_each_other_and_the_host_and_leave_nothing() {
    if !own_namespaces("containers_of_the_default_bridge_reach_each_other_and_the_host_and_leave_nothing") {
        return;
    }
    let before = census();
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let a = networks.prepare(request("a", "default")).await.unwrap();
    let b = networks.prepare(request("b", "bridge")).await.unwrap();
    assert_eq!(address(&a, "bridge"), "172.17.0.2");
    assert_eq!(address(&b, "bridge"), "172.17.0.3");
    assert!(a.files.hosts.ends_with(&format!("172.17.0.2\t{}\n", "a".repeat(12))));
    for to in ["172.17.0.3", "172.17.0.1"] {
        let ping = inside(&netns(&a), &format!("busybox ping -c 1 -W 2 {to}"));
        assert!(ping.status.success(), "{}", text(&ping));
    }
    let _web = Web::start(&netns(&b), "from b");
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://172.17.0.3/"), "from b");
    networks.release(&"a".repeat(64)).await.unwrap();
    let c = networks.prepare(request("c", "bridge")).await.unwrap();
    assert_eq!(address(&c, "bridge"), "172.17.0.2", "the lowest free address is given again");
    networks.teardown().await.unwrap();
    assert_eq!(census(), before);
    assert!(
        here(&format!("ls {}/exec/netns {0}/exec/network | grep aaa", roots.0.path().display())).is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_port_answers_on_localhost_to_others_and_to_the_container_itself() {
    if !own_namespaces("a_published_port_answers_on_localhost_to_others_and_to_the_container_itself") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let a = networks.prepare(publishing("a", "bridge", "", "8080")).await.unwrap();
    let other = networks.create(Create { name: "n1".into(), ..Create::default() }).await.unwrap();
    let b = networks.prepare(request("b", "bridge")).await.unwrap();
    let c = networks.prepare(request("c", &other.name)).await.unwrap();
    let _web = Web::start(&netns(&a), "page");
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://127.0.0.1:8080/"), "page");
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://172.17.0.1:8080/"), "page");
    for (who, sandbox) in [("itself", &a), ("same network", &b), ("other network", &c)] {
        let got = inside(&netns(sandbox), "wget -q -t 1 -T 2 -O - http://172.17.0.1:8080/");
        assert_eq!(text(&got), "page", "{who}");
    }
    let direct = inside(&netns(&c), "wget -q -t 1 -T 1 -O - http://172.17.0.2/");
    assert!(!direct.status.success(), "networks are not isolated from each other");
    let shown = &a.ports["80/tcp"];
    let binding = |ip: &str| PortBinding { host_ip: ip.into(), host_port: "8080".into() };
    assert_eq!(shown, &Some(vec![binding("0.0.0.0"), binding("::")]));

    // A restarted daemon changes nothing; one that is dead neither: nothing but the kernel serves the port.
    drop(networks);
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://127.0.0.1:8080/"), "page");
    let networks = roots.start(&["a", "b", "c"]).await;
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://127.0.0.1:8080/"), "page");
    let taken = networks.prepare(publishing("d", "bridge", "", "8080")).await.unwrap_err();
    assert!(
        taken.to_string().ends_with("Bind for 0.0.0.0:8080 failed: port is already allocated"),
        "{taken}"
    );
    assert!(networks.sandbox(&"d".repeat(64)).is_none(), "a failed start left a sandbox");
    networks.release(&"a".repeat(64)).await.unwrap();
    networks.prepare(publishing("d", "bridge", "", "8080")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_aliases_of_a_user_network_resolve_also_after_a_restart() {
    if !own_namespaces("names_and_aliases_of_a_user_network_resolve_also_after_a_restart") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    networks.create(Create { name: "un".into(), ..Create::default() }).await.unwrap();
    let mut b = request("b", "un");
    b.endpoints.get_mut("un").unwrap().aliases = Some(vec!["db".into()]);
    let a = networks.prepare(request("a", "un")).await.unwrap();
    let b = networks.prepare(b).await.unwrap();
    assert!(a.files.resolv_conf.contains("nameserver 127.0.0.11\n"));
    let ip = address(&b, "un");
    let ask = |name: &str| text(&inside(&netns(&a), &format!("busybox nslookup -type=a {name} 127.0.0.11")));
    for name in ["name-b", "NAME-B", "db", "db.un", &"b".repeat(12)] {
        assert!(ask(name).contains(&ip), "{name}: {}", ask(name));
    }
    let reverse = text(&inside(&netns(&a), &format!("busybox nslookup {ip} 127.0.0.11")));
    assert!(reverse.contains("name-b.un"), "{reverse}");
    drop(networks);
    let networks = roots.start(&["a", "b"]).await;
    assert!(ask("db").contains(&ip), "{}", ask("db"));
    networks.release(&"b".repeat(64)).await.unwrap();
    assert!(!ask("db").contains(&ip));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_connected_and_disconnected_while_it_runs() {
    if !own_namespaces("a_container_is_connected_and_disconnected_while_it_runs") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let subnet = IpamConfig { subnet: "10.9.0.0/24".into(), ..IpamConfig::default() };
    let network =
        networks.create(Create { name: "n1".into(), ipam: vec![subnet], ..Create::default() }).await.unwrap();
    let a = networks.prepare(request("a", "bridge")).await.unwrap();
    let id = "a".repeat(64);
    let fixed = EndpointSettings {
        ipam_config: Some(EndpointIpam { ipv4_address: Some("10.9.0.77".into()), ..EndpointIpam::default() }),
        ..EndpointSettings::default()
    };
    let now = networks.connect(&id, "n1", fixed.clone()).await.unwrap();
    assert_eq!(address(&now, "n1"), "10.9.0.77");
    let ping = inside(&netns(&a), "busybox ping -c 1 -W 2 10.9.0.1 && ip -br addr show eth1");
    assert!(text(&ping).contains("10.9.0.77/24"), "{}", text(&ping));
    let twice = networks.connect(&id, "n1", fixed).await.unwrap_err();
    assert_eq!(
        (twice.status(), twice.to_string()),
        (403, "endpoint with name name-a already exists in network n1".into())
    );
    let used = networks.remove("n1").await.unwrap_err();
    assert_eq!(used.status(), 403);
    assert!(used.to_string().starts_with(&format!(
        "error while removing network: network n1 id {} has active endpoints (name:\"name-a\"",
        network.id
    )));
    networks.disconnect(&id, "bridge").await.unwrap();
    let route = text(&inside(&netns(&a), "ip route"));
    assert!(route.contains("default via 10.9.0.1"), "{route}");
    networks.disconnect(&id, "n1").await.unwrap();
    networks.remove("n1").await.unwrap();
    assert!(!here("ip -br link").contains(network.bridge.as_deref().unwrap()));
    assert_eq!(networks.get("n1").unwrap_err().to_string(), "network n1 not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_mends_the_kernel_and_takes_away_what_no_longer_runs() {
    if !own_namespaces("a_restart_mends_the_kernel_and_takes_away_what_no_longer_runs") {
        return;
    }
    here(
        "nft add table inet foreign; nft add chain inet foreign c; nft add rule inet foreign c counter accept",
    );
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let a = networks.prepare(publishing("a", "bridge", "127.0.0.1", "8081")).await.unwrap();
    networks.prepare(publishing("b", "bridge", "127.0.0.1", "8082")).await.unwrap();
    let _web = Web::start(&netns(&a), "page");
    drop(networks);
    here("nft delete table inet engine");
    let networks = roots.start(&["a"]).await;
    assert_eq!(here("wget -q -t 1 -T 2 -O - http://127.0.0.1:8081/"), "page");
    assert!(networks.sandbox(&"b".repeat(64)).is_none());
    assert!(!here("nft list ruleset").contains("8082"));
    assert!(here("nft list table inet foreign").contains("counter"), "a foreign table was changed");
    assert_eq!(here("ip -br link | grep -c veth").trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_refuses_is_refused_in_its_words() {
    if !own_namespaces("what_docker_refuses_is_refused_in_its_words") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let create = |name: &str, driver: &str, subnet: &str| Create {
        name: name.into(),
        driver: driver.into(),
        ipam: vec![IpamConfig { subnet: subnet.into(), ..IpamConfig::default() }],
        ..Create::default()
    };
    networks.create(create("ny", "", "")).await.unwrap();
    for (request, status, message) in [
        (create("ny", "", ""), 409, "network with name ny already exists"),
        (create("bridge", "", ""), 403, "operation is not permitted on predefined bridge network "),
        (create("x", "bogus", ""), 404, "plugin \"bogus\" not found"),
        (
            create("x", "", "172.17.5.0/24"),
            403,
            "invalid pool request: Pool overlaps with other one on this address space",
        ),
        (
            create("x", "", "bad"),
            400,
            "invalid network config:\ninvalid subnet bad: invalid CIDR block notation",
        ),
    ] {
        let error = networks.create(request).await.unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (status, message));
    }
    let removed = networks.remove("bridge").await.unwrap_err();
    assert_eq!(
        (removed.status(), removed.to_string().as_str()),
        (403, "bridge is a pre-defined network and cannot be removed")
    );
    let missing = networks.prepare(request("a", "nosuchnet")).await.unwrap_err();
    assert_eq!((missing.status(), missing.to_string().as_str()), (404, "network nosuchnet not found"));
    // Not `ip netns list`: other tests' namespaces are in it.
    let pinned = std::fs::read_dir(roots.config().exec_root.join("netns")).map_or(0, Iterator::count);
    assert_eq!((pinned, here("ip -br link | grep -c veth").trim()), (0, "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_go_to_the_given_server_from_the_containers_own_address() {
    if !own_namespaces("other_names_go_to_the_given_server_from_the_containers_own_address") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    networks.create(Create { name: "un".into(), ..Create::default() }).await.unwrap();
    let b = networks.prepare(request("b", "un")).await.unwrap();
    let mut a = request("a", "un");
    a.dns.servers = vec![address(&b, "un")];
    let a = networks.prepare(a).await.unwrap();
    // Port 53 of the container is free for a server of its own, which knows one address.
    let socket =
        super::netns::inside(&netns(&b), || Ok(std::net::UdpSocket::bind("0.0.0.0:53").unwrap())).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let mut reply = Message::response(query.metadata.id, OpCode::Query);
            let name = query.queries[0].name().clone();
            reply.add_queries(query.queries);
            reply.add_answer(Record::from_rdata(name, 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 7)))));
            socket.send_to(&reply.to_vec().unwrap(), from).unwrap();
        }
    });
    let ask = |name: &str| text(&inside(&netns(&a), &format!("busybox nslookup -type=a {name} 127.0.0.11")));
    let answer = ask("www.example");
    assert!(answer.contains("192.0.2.7"), "{answer}");
    let own = ask("name-b");
    assert!(own.contains(&address(&b, "un")), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_reaches_the_container_that_got_an_address_it_remembers() {
    if !own_namespaces("a_neighbour_reaches_the_container_that_got_an_address_it_remembers") {
        return;
    }
    let roots = Roots::new();
    let networks = roots.start(&[]).await;
    let a = networks.prepare(request("a", "bridge")).await.unwrap();
    for other in ["b", "c"] {
        let sandbox = networks.prepare(request(other, "bridge")).await.unwrap();
        assert_eq!(address(&sandbox, "bridge"), "172.17.0.3");
        let ping = inside(&netns(&a), "busybox ping -c 1 -W 2 172.17.0.3");
        assert!(ping.status.success(), "{other}: {}", text(&ping));
        networks.release(&other.repeat(64)).await.unwrap();
    }
}
