//! Reads the texts of settings about names and networks, and says what is wrong with them. Called by `check` and `resolve`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use lycosa::fetch::client::Dns;

use super::bad::{Bad, near};

/// `own`, `system`, or the address of a name server, on port 53 if it states none.
pub fn dns(text: &str) -> Result<Dns, Bad> {
    match text {
        "own" => return Ok(Dns::Own),
        "system" => return Ok(Dns::System),
        _ => {}
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)).or_else(|_| text.parse());
    match address {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(Dns::Server(address)),
        _ => Err(Bad::new(format!("'{text}' is not own, system or the address of a name server"))
            .meaning(near(text, ["own", "system"]))),
    }
}

/// A network; an address alone is one of its own.
pub fn network(text: &str) -> Result<IpNet, Bad> {
    let text = text.trim();
    let parsed = text.parse::<IpNet>().or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| Bad::new(format!("'{text}' is not a network (such as 192.0.2.0/24 or 2001:db8::/32)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_addresses() {
        let server = |text: &str| Ok(Dns::Server(text.parse().unwrap()));
        assert_eq!([dns("own"), dns("system")], [Ok(Dns::Own), Ok(Dns::System)]);
        for (text, meant) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:54", "[2001:db8::1]:54"),
        ] {
            assert_eq!(dns(text), server(meant), "{text}");
        }
        for text in ["", "ns.example", "0.0.0.0", "192.0.2.1:0", "192.0.2.1:", "[::1", "https://192.0.2.1/"] {
            assert!(dns(text).is_err(), "{text}");
        }
        assert_eq!(dns("sytem").unwrap_err().hint.as_deref(), Some("did you mean 'system'?"));
    }

    #[test]
    fn networks_are_cidr() {
        let read = |text: &str| network(text).map(|net| net.to_string()).ok();
        for (text, meant) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            (" [::1] ", "::1/128"),
        ] {
            assert_eq!(read(text).as_deref(), Some(meant), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.org", "10.0.0.0-10.0.0.9"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
