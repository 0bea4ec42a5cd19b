//! X509None: a certificate alone says who it is.

use std::path::Path;

use farpane_test_support::openssl::{Ca, Pair};
use farpane_test_support::{Client, ClientError, Server, Tls};

use super::world::{World, sees, text};

/// Shakes hands with this certificate and no other proof.
fn by_certificate(world: &World, server: &Server, pair: Option<&Pair>) -> Result<Client, ClientError> {
    let tls = Tls::new(Path::new(&world.path("state/tls.crt")), "127.0.0.1", pair.and_then(Pair::both))?;
    let mut raw = server.raw();
    raw.versions("RFB 003.008\n")?;
    assert_eq!(raw.security_types()?, [19], "nothing but VeNCrypt");
    raw.send(&[19])?;
    assert_eq!(raw.vencrypt_offer()?, [260], "nothing but X509None");
    raw.vencrypt_choose(260)?;
    raw.start_tls(&tls)?;
    Client::proved(raw)
}

#[test]
fn a_good_certificate_gets_in_as_its_user_and_no_other_does() {
    let (ca, stranger) = (Ca::new("Desktop clients"), Ca::new("Desktop clients"));
    let good = ca.issue("Alice Example", "client", &[]);
    let nobody = ca.issue("Nobody Example", "client", &[]);
    let revoked = ca.issue("Alice Example", "client", &[]);
    let expired =
        ca.issue("Alice Example", "client", &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]);
    let usage = ca.issue("Alice Example", "server", &[]);
    let foreign = stranger.issue("Alice Example", "client", &[]);
    ca.revoke(&revoked);
    let crl = ca.revoked_list(&[]);
    let config = format!(
        "security = [\"x509none\"]\n[auth]\nchains = [[\"certificate\"]]\n\
         [permissions.users.alice]\nallow = [\"view\", \"pointer\"]\n\
         [tls]\nclient_certificates = \"demanded\"\nclient_ca = {:?}\nclient_crl = [{crl:?}]\n\
         [tls.client_users]\n\"Alice Example\" = \"alice\"\n",
        ca.certificate()
    );
    let world = World::new(&[], &config);
    let server = world.serve(&[]);
    let mut client = by_certificate(&world, &server, Some(&good)).expect("let in");
    sees(&mut client);
    let event = world.event("auth-ok", &[("user", "alice"), ("security", "x509none")]);
    assert_eq!(event["factors"], serde_json::json!(["certificate"]));
    assert_eq!(event["permissions"], serde_json::json!(["view", "pointer"]));
    assert!(text(&event["cipher"]).starts_with("TLS13_AES_256_GCM_SHA384 "), "{event}");
    for (n, (what, pair)) in [
        ("none", None),
        ("expired", Some(&expired)),
        ("revoked", Some(&revoked)),
        ("another CA", Some(&foreign)),
        ("another usage", Some(&usage)),
        ("a name that is nobody's", Some(&nobody)),
    ]
    .into_iter()
    .enumerate()
    {
        let came = by_certificate(&world, &server, pair);
        assert!(matches!(came, Err(ClientError::Closed | ClientError::Io(_))), "{what}: {came:?}");
        super::wait_for(what, || {
            (world.events("end").iter().filter(|e| e["reason"] == "identity").count() == n + 1).then_some(())
        });
    }
    assert_eq!(world.events("auth-ok").len(), 1);
    sees(&mut by_certificate(&world, &server, Some(&good)).expect("let in again"));
}
