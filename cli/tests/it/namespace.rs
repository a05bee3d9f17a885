//! A network and a view of the file system that nobody else has.

use std::{
    fs,
    process::{Command, Stdio},
};

/// The addresses that are this machine there, beside its own.
const ADDRESSES: [&str; 15] = [
    "93.184.216.34",
    "93.184.216.35",
    "93.184.216.36",
    "93.184.216.53",
    "10.1.2.3",
    "100.64.0.7",
    "169.254.169.254",
    "172.16.5.4",
    "192.168.1.1",
    "198.18.0.9",
    "198.51.100.7",
    "203.0.113.9",
    "2606:2800:220:1::34",
    "fd00::1",
    "fe80::1",
];

/// `$1`, `$2`, `$3` are `hosts`, `resolv.conf` and `nsswitch.conf`; `$4` the addresses; then what is run.
const SCRIPT: &str = r#"
ip link set lo up
for address in $4; do
  case $address in
    # A machine may have no IPv6 at all.
    *:*) [ ! -e /proc/net/if_inet6 ] || ip -6 address add "$address/128" dev lo nodad ;;
    *) ip address add "$address/32" dev lo ;;
  esac
done
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
mount --bind "$3" /etc/nsswitch.conf
shift 4
exec "$@"
"#;

/// Runs one ignored test of this binary there, with these hosts: names with their addresses. Everybody else is
/// asked of a name server at 93.184.216.53.
#[track_caller]
pub(crate) fn runs_inside(test: &str, hosts: &[(&str, &[&str])]) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let lines =
        hosts.iter().flat_map(|(name, all)| all.iter().map(move |address| format!("{address} {name}\n")));
    let hosts = format!("127.0.0.1 localhost\n{}", lines.collect::<String>());
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-ec", SCRIPT, "sh"])
        .arg(file("hosts", &hosts))
        .arg(file("resolv.conf", "nameserver 93.184.216.53\noptions timeout:5 attempts:2\n"))
        .arg(file("nsswitch.conf", "passwd: files\nhosts: files dns\n"))
        .arg(ADDRESSES.join(" "))
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        out.contains("running "),
        "this test makes a network of its own: run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN, where \
         `unshare`, `ip` and `mount` are (util-linux, iproute2, mount)\n{err}"
    );
    assert!(output.status.success() && out.contains("1 passed"), "{test}:\n{out}\n{err}");
}
