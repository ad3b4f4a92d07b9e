//! The address of a member, as its entry in the log has it.

/// The longest name of a node in bytes. Each line carries two names, and queues must not fill up with
/// them.
pub const MAX_NAME: usize = 256;

/// The longest address in bytes.
pub const MAX_ADDRESS: usize = 1_024;

/// The address of a member: `NAME`, or `NAME=HOST:PORT` where members are reached over a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The name of the node.
    pub name: &'a str,
    /// Where it listens, if the address says so.
    pub place: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// Takes an address apart.
    ///
    /// # Errors
    /// Why it is none: the name is empty, or the name or the address is too long.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (name, place) = match text.split_once('=') {
            Some((name, place)) => (name, Some(place)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("has no name");
        }
        if name.len() > MAX_NAME {
            return Err("has a name longer than 256 bytes");
        }
        if text.len() > MAX_ADDRESS {
            return Err("is longer than 1024 bytes");
        }
        Ok(Self { name, place })
    }
}

/// Whether this is `HOST:PORT`, whose host may be a name.
pub(crate) fn is_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0)
    })
}

/// The name in an address that was checked before it was stored.
pub(crate) fn name_in(address: &str) -> &str {
    address.split_once('=').map_or(address, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_a_host_and_a_port() {
        for place in ["h:1", "[::1]:65535", "a.example:7101"] {
            assert!(is_place(place), "{place}");
        }
        for other in ["", "h", ":1", "h:", "h:0", "h:65536", "h:x", "7101"] {
            assert!(!is_place(other), "{other}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let address = |name, place| Ok(Address { name, place });
        assert_eq!(Address::parse("n1"), address("n1", None));
        let with_place = Address::parse("n1=[::1]:7001");
        assert_eq!(with_place, address("n1", Some("[::1]:7001")));
        let (long, longer) = ("n".repeat(MAX_NAME), "n".repeat(MAX_NAME + 1));
        assert_eq!(Address::parse(&long), address(&long, None));
        assert!(Address::parse(&longer).unwrap_err().contains("256"));
        assert_eq!(Address::parse("=n1:1"), Err("has no name"));
        let far = format!("n1={}", "x".repeat(MAX_ADDRESS));
        assert!(Address::parse(&far).unwrap_err().contains("1024"));
    }
}
