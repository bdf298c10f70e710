//! Which addresses are on the open internet. All others may be a network of the server's own, where a callback has no business.
//!
//! They are compared as numbers, so that it does not matter how somebody has spelt them, and what carries an address of IPv4 within one of
//! IPv6 is judged by that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address and length of the prefix; RFC 6890 and what came after it.
const CLOSED_FOUR: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, and what is reserved: the last eighth.
    ([224, 0, 0, 0], 3),
];
/// Within 2000::/3, outside of which nothing is open: IETF protocols with Teredo, documentation, AS112.
const CLOSED_SIX: [([u16; 8], u32); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_global_four(four),
        IpAddr::V6(six) => is_global_six(six),
    }
}

fn is_global_four(address: Ipv4Addr) -> bool {
    let is_in = |(first, length): &([u8; 4], u32)| {
        let first = Ipv4Addr::from(*first).to_bits();
        (address.to_bits() ^ first) >> (32 - length) == 0
    };
    !CLOSED_FOUR.iter().any(is_in)
}

fn is_global_six(address: Ipv6Addr) -> bool {
    if let Some(four) = carried(address) {
        return is_global_four(four);
    }
    let is_in = |first: [u16; 8], length: u32| {
        let first = Ipv6Addr::from(first).to_bits();
        (address.to_bits() ^ first) >> (128 - length) == 0
    };
    is_in([0x2000, 0, 0, 0, 0, 0, 0, 0], 3) && !CLOSED_SIX.iter().any(|(first, length)| is_in(*first, *length))
}

/// The address of IPv4 that is reached by it: mapped, compatible, by NAT64 or by 6to4.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let four = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(four(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_global;

    #[test]
    fn only_the_open_internet_is_global() {
        for open in ["1.1.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.255"] {
            assert!(is_global(open.parse().unwrap()), "{open}");
        }
        for open in ["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
            assert!(is_global(open.parse().unwrap()), "{open}");
        }
        for closed in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!is_global(closed.parse().unwrap()), "{closed}");
        }
        for closed in [
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "3fff::1",
            "100::1",
            "64:ff9b:1::1",
            "5f00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::169.254.169.254",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "4000::1",
        ] {
            assert!(!is_global(closed.parse().unwrap()), "{closed}");
        }
    }
}
