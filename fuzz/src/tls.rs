//! The targets of VeNCrypt and of clients' certificates, and their seeds.

use std::collections::BTreeMap;

use farpane_server::auth::login::{MAX_NAME, MAX_REPLY};
use farpane_server::security::tls::identity::{NameField, user};
use farpane_server::security::vencrypt::{Client, ClientEvent, Event, Server, Subtype};

const ALL: [Subtype; 4] = [Subtype::X509Plain, Subtype::X509None, Subtype::X509Vnc, Subtype::Plain];

/// A client's bytes to the server's side of VeNCrypt, those inside of TLS following at once. The bits of the first byte say what
/// is offered.
pub fn vencrypt_server(data: &[u8]) {
    let Some((&mode, mut rest)) = data.split_first() else { return };
    let offer: Vec<Subtype> = (0..4).filter(|n| mode >> n & 1 == 1).map(|n| ALL[n]).collect();
    let Ok(mut server) = Server::new(&offer) else {
        return assert!(offer.is_empty(), "{offer:?} cannot be offered");
    };
    while !server.is_done() {
        assert!(server.needs() <= MAX_NAME + MAX_REPLY, "{} bytes wanted", server.needs());
        let Some((part, more)) = rest.split_at_checked(server.needs()) else { return };
        rest = more;
        match server.step(part) {
            Err(_) => return,
            Ok((_, None)) => {}
            Ok((_, Some(Event::Chosen(subtype)))) => {
                assert!(offer.contains(&subtype), "{subtype:?} was not offered");
                assert_eq!(server.secured().is_ok(), subtype.has_tls());
            }
            Ok((_, Some(Event::Credentials { user, password }))) => {
                assert!(user.len() <= MAX_NAME && password.reveal().len() <= MAX_REPLY);
                assert!(server.is_done());
            }
        }
    }
}

/// A server's bytes to the client's side. The first byte says which of the offered subtypes it chooses.
pub fn vencrypt_client(data: &[u8]) {
    let Some((&mode, mut rest)) = data.split_first() else { return };
    let mut client = Client::new();
    while client.needs() > 0 {
        assert!(client.needs() <= 4 * 255, "{} bytes wanted", client.needs());
        let Some((part, more)) = rest.split_at_checked(client.needs()) else { return };
        rest = more;
        let Ok((_, event)) = client.step(part) else { return };
        if let Some(ClientEvent::Offer(list)) = event {
            let number = list[usize::from(mode) % list.len()];
            assert_eq!(client.choose(number).ok(), Some(number.to_be_bytes()));
        }
    }
}

/// A certificate of a client, in each of the fields that may name its user.
pub fn client_certificate(data: &[u8]) {
    for field in [NameField::CommonName, NameField::Email, NameField::Upn] {
        if let Ok(name) = user(data, field, &BTreeMap::new()) {
            assert!(!name.is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control), "{name:?}");
            let table = BTreeMap::from([(name, "who".to_owned())]);
            assert_eq!(user(data, field, &table).as_deref(), Ok("who"));
        }
    }
}

/// A certificate with a name in each field, signed by its own P-256 key; made once with openssl.
const CERTIFICATE: &[u8] = include_bytes!("client.der");

/// Good inputs of a target that is in this file.
pub fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    let plain = b"\0\0\0\x05\0\0\0\x06alicesecret";
    let list = [&[0, 2, 0, 3][..], &[262u32, 260, 256].map(u32::to_be_bytes).concat(), &[1]].concat();
    match target {
        "vencrypt_server" => {
            let session = |number: u32| [&[0x0f, 0, 2][..], &number.to_be_bytes(), plain].concat();
            Some([256, 257, 260, 261, 262].map(session).into())
        }
        "vencrypt_client" => Some([0, 1, 2].map(|mode| [&[mode], &list[..]].concat()).into()),
        "client_certificate" => Some(vec![CERTIFICATE.to_vec()]),
        _ => None,
    }
}
