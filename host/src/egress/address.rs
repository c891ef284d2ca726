//! Which addresses the host connects to: public ones by https on port 443, and those that an operator granted, exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Ranges of IPv4 that are not the public internet (IANA's special-purpose registry, and what clouds hide behind plain addresses).
const REFUSED_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "reserved"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Ranges inside of IPv6's global unicast space that are not hosts of the public internet, or hide an IPv4 address.
const REFUSED_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved or a tunnel"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a 6to4 tunnel"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
];

/// Everything public in IPv6 lies here; mapped and translated IPv4 addresses (`::ffff:0:0/96`, NAT64), loopback, link-local,
/// unique local and multicast addresses do not.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What an address is instead of public; none if it is public.
pub(super) fn refused(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => {
            let covers = |network: Ipv4Addr, bits: u8| (u32::from(ip) ^ u32::from(network)) >> (32 - bits) == 0;
            REFUSED_V4.iter().find(|&&(network, bits, _)| covers(network, bits)).map(|&(_, _, what)| what)
        }
        IpAddr::V6(ip) => {
            let covers = |network: Ipv6Addr, bits: u8| (u128::from(ip) ^ u128::from(network)) >> (128 - bits) == 0;
            if !covers(GLOBAL_V6.0, GLOBAL_V6.1) {
                return Some("not a public IPv6 address");
            }
            REFUSED_V6.iter().find(|&&(network, bits, _)| covers(network, bits)).map(|&(_, _, what)| what)
        }
    }
}

/// Whether the host may connect to this address and port, with or without TLS.
///
/// # Errors
/// Says what speaks against it and which grant would allow it.
pub(super) fn check(address: SocketAddr, https: bool, granted: &[SocketAddr]) -> Result<(), String> {
    if granted.contains(&address) {
        return Ok(());
    }
    let reason = match refused(address.ip()) {
        Some(what) => format!("the address {address} is {what}"),
        None if !https => format!("the address {address} is not reached by https"),
        None if address.port() != 443 => format!("port {} is not 443", address.port()),
        None => return Ok(()),
    };
    Err(format!("{reason}; an operator can grant `{address}` to this connection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        let check = |ip: &str, public: bool| {
            assert_eq!(refused(ip.parse().expect("an address")).is_none(), public, "{ip}");
        };
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "11.0.0.0",
        ] {
            check(public, true);
        }
        for public in ["2606:4700:4700::1111", "2a00:1450:4001::1", "2001:200::1", "2001:4860:4860::8888", "3ffe::1"] {
            check(public, true);
        }
        for refused in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            check(refused, false);
        }
        for refused in [
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(refused, false);
        }
    }

    #[test]
    fn grants_are_exact() {
        let granted: Vec<SocketAddr> =
            vec!["127.0.0.1:9000".parse().expect("an address"), "[::1]:9000".parse().expect("an address")];
        let allowed = |address: &str, https: bool, expected: bool| {
            assert_eq!(
                check(address.parse().expect("an address"), https, &granted).is_ok(),
                expected,
                "{address} {https}"
            );
        };
        allowed("127.0.0.1:9000", false, true);
        allowed("127.0.0.1:9000", true, true);
        allowed("[::1]:9000", false, true);
        allowed("127.0.0.1:9001", false, false);
        allowed("127.0.0.2:9000", false, false);
        allowed("[::ffff:127.0.0.1]:9000", false, false);
        allowed("8.8.8.8:443", true, true);
        allowed("8.8.8.8:443", false, false);
        allowed("8.8.8.8:80", false, false);
        allowed("8.8.8.8:8443", true, false);
        allowed("10.0.0.1:443", true, false);
    }
}
