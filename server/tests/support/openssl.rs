//! Certificates made by the `openssl` program: a witness that shares no code with the server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `openssl` with these arguments in `folder`, without input.
///
/// # Panics
/// When there is no such program.
pub fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    let run = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    run.unwrap_or_else(|e| panic!("openssl: {e}; it is in the package openssl"))
}

fn done(folder: &Path, arguments: &[&str]) {
    let output = openssl(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A fresh folder for this process.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("farpane-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // what stays is in the folder for temporary files
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CONFIG: &str = "
[ca]
default_ca = this
[this]
dir = .
database = index.txt
new_certs_dir = issued
certificate = ca.pem
private_key = ca.key
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 30
default_crl_days = 30
crl_extensions = list
policy = any
unique_subject = no
[any]
commonName = supplied
[list]
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1
[intermediate]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// The kinds of keys that a certificate can be for, as `openssl genpkey` has them.
const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Pair {
    /// Both, as a client takes them.
    pub fn both(&self) -> Option<(&Path, &Path)> {
        Some((&self.certificate, &self.key))
    }
}

/// A CA in a folder of its own.
#[derive(Debug)]
pub struct Ca {
    folder: Folder,
}

impl Ca {
    fn prepared() -> Self {
        let ca = Ca { folder: Folder::new("ca") };
        let path = ca.folder.path();
        std::fs::create_dir(path.join("issued")).expect("a folder");
        for (file, text) in [("config", CONFIG), ("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n")] {
            std::fs::write(path.join(file), text).expect("a file");
        }
        ca
    }

    /// A root.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn new(name: &str) -> Self {
        let ca = Ca::prepared();
        ca.key("ca", &P256);
        let subject = format!("/CN={name}");
        done(
            ca.folder.path(),
            &[
                "req",
                "-x509",
                "-config",
                "config",
                "-extensions",
                "root",
                "-key",
                "ca.key",
                "-out",
                "ca.pem",
                "-days",
                "30",
                "-subj",
                &subject,
            ],
        );
        ca
    }

    /// A CA whose certificate this one signs.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn below(&self, name: &str) -> Self {
        let pair = self.issue(name, "intermediate", &[]);
        let ca = Ca::prepared();
        std::fs::copy(&pair.certificate, ca.folder.path().join("ca.pem")).expect("a copy");
        std::fs::copy(&pair.key, ca.folder.path().join("ca.key")).expect("a copy");
        ca
    }

    /// The CA's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn key(&self, name: &str, kind: &[&str]) {
        let out = format!("{name}.key");
        done(self.folder.path(), &[&["genpkey", "-out", &out][..], kind].concat());
    }

    /// A certificate for `name` and a fresh key; `usage` is `client`, `server` or `intermediate`, `more` goes to `openssl ca`,
    /// such as a `-startdate`.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn issue(&self, name: &str, usage: &str, more: &[&str]) -> Pair {
        self.issue_with(name, usage, &P256, more)
    }

    /// As [`Ca::issue`], with a key as `openssl genpkey` makes it by these arguments.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn issue_with(&self, name: &str, usage: &str, kind: &[&str], more: &[&str]) -> Pair {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let file = format!("issued-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.key(&file, kind);
        let [key, request, certificate] = ["key", "csr", "pem"].map(|end| format!("{file}.{end}"));
        let subject = format!("/CN={name}");
        let folder = self.folder.path();
        done(folder, &["req", "-new", "-config", "config", "-key", &key, "-out", &request, "-subj", &subject]);
        let sign = [
            "ca",
            "-config",
            "config",
            "-batch",
            "-notext",
            "-extensions",
            usage,
            "-in",
            &request,
            "-out",
            &certificate,
        ];
        done(folder, &[&sign[..], more].concat());
        Pair { certificate: folder.join(certificate), key: folder.join(key) }
    }

    /// Puts a certificate on the list of revoked ones to come.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn revoke(&self, pair: &Pair) {
        let path = pair.certificate.to_str().expect("a path of text");
        done(self.folder.path(), &["ca", "-config", "config", "-revoke", path]);
    }

    /// Writes the list of revoked certificates; `more` goes to `openssl ca`.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn revoked_list(&self, more: &[&str]) -> PathBuf {
        done(self.folder.path(), &[&["ca", "-config", "config", "-gencrl", "-out", "crl.pem"][..], more].concat());
        self.folder.path().join("crl.pem")
    }
}
