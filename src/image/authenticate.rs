//! `WWW-Authenticate` and what is done about it (RFC 9110 section 11.6.1, and distribution's token authentication).
//!
//! A registry that wants to know who is there names a token server, its *realm*. Where a realm may be is not for the
//! registry alone to say: it has to be reached as safely as the registry itself, must not lie in networks nearer to us,
//! and sees credentials only if it belongs to the registry as far as names tell, or the caller says so.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::address::{Address, Origin};
use super::credentials::Login;
use super::document::parse;
use super::transport::{Authorization, Request, Transport, check_near};
use crate::error::{Error, Result};
use crate::json::objects;

/// The most bytes of a token server's answer.
const TOKEN_LIMIT: u64 = 1 << 20;

/// Token servers that belong to a registry under another name.
const KNOWN_REALMS: [(&str, &str); 4] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.redhat.io", "sso.redhat.com"),
    ("nvcr.io", "authn.nvidia.com"),
    ("dhi.io", "auth.docker.io"),
];

/// One way in that a server offers.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self
            .parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the values of `WWW-Authenticate` headers. What cannot be read is passed over.
pub fn challenges<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut all = Vec::new();
    for header in headers.take(16) {
        let mut rest = header;
        while let Some((challenge, behind)) = challenge(rest) {
            all.push(challenge);
            rest = behind;
        }
    }
    all
}

/// Splits one challenge off: a scheme, and parameters up to the next scheme.
fn challenge(text: &str) -> Option<(Challenge, &str)> {
    let (scheme, mut rest) = token(text.trim_start_matches([' ', '\t', ',']))?;
    let mut parameters = Vec::new();
    loop {
        let behind_comma = rest.trim_start_matches([' ', '\t', ',']);
        let Some((key, behind)) = token(behind_comma) else {
            break;
        };
        let Some(behind) = behind.trim_start().strip_prefix('=') else {
            break; // the next scheme
        };
        let (value, behind) = value(behind.trim_start());
        parameters.push((key.to_owned(), value));
        rest = behind;
    }
    let challenge = Challenge {
        scheme: scheme.to_owned(),
        parameters,
    };
    Some((challenge, rest))
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text
        .bytes()
        .position(|b| !is_token(b))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string, and what stands behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// What is needed to answer a challenge.
pub struct Visitor<'a> {
    /// Makes the requests.
    pub transport: &'a Transport,
    /// The registry.
    pub registry: &'a Origin,
    /// What is wanted of it: `repository:NAME:pull`.
    pub scope: &'a str,
    /// Who we are there, if anybody.
    pub login: Option<&'a Login>,
    /// Hosts of token servers that the caller trusts with credentials.
    pub realms: &'a [String],
    /// Where remarks go.
    pub note: &'a (dyn Fn(&str) + Sync),
}

impl Visitor<'_> {
    /// What to show the registry next time.
    ///
    /// # Errors
    /// Where there is no way in.
    pub fn answer(&self, challenges: &[Challenge]) -> Result<Authorization> {
        if let Some(Login::Token(token)) = self.login {
            return self.bearer(token);
        }
        if let Some(bearer) = challenges.iter().find(|challenge| challenge.is("bearer")) {
            return self.token(bearer);
        }
        let basic = challenges.iter().any(|challenge| challenge.is("basic"));
        match self.login {
            Some(Login::Password { user, password }) if basic => Ok(Authorization::new(
                self.registry,
                basic_value(user, password),
            )),
            _ if basic => Err(self.denied("it wants a name and a password")),
            _ => Err(self.denied("it asks for an authentication that is not supported")),
        }
    }

    fn denied(&self, why: &'static str) -> Error {
        let authority = self.registry.authority();
        Error::new(format!("cannot log in to {}", self.registry))
            .because(why)
            .hint(format!("try 'pull login {authority}'"))
    }

    fn bearer(&self, token: &str) -> Result<Authorization> {
        if token.is_empty()
            || token.len() > 64 * 1024
            || !token.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(Error::new(format!("cannot log in to {}", self.registry))
                .because("the token is none that a header could hold"));
        }
        Ok(Authorization::new(self.registry, format!("Bearer {token}")))
    }

    /// Fetches a token, as who we are; where that is refused and nobody in particular is let in too, as nobody.
    fn token(&self, challenge: &Challenge) -> Result<Authorization> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm = realm_of(self.registry, realm)?;
        let mut login = self.login;
        if login.is_some() && !trusts(self.registry, &realm.origin, self.realms) {
            let host = &realm.origin.host;
            (self.note)(&format!(
                "{} names {host} as its token server, which does not see the credentials: --auth-realm {host} would allow it",
                self.registry
            ));
            login = None;
        }
        match self.fetch(&realm, challenge, login) {
            Err(error) if login.is_some() => {
                let anonymous = self.fetch(&realm, challenge, None).map_err(|_| error)?;
                (self.note)(&format!(
                    "{} refuses the credentials; going on without them",
                    realm.origin
                ));
                Ok(anonymous)
            }
            other => other,
        }
    }

    fn fetch(
        &self,
        realm: &Address,
        challenge: &Challenge,
        login: Option<&Login>,
    ) -> Result<Authorization> {
        let mut query = Query::default();
        if let Some(service) = challenge.parameter("service") {
            query.add("service", service);
        }
        query.add("scope", self.scope);
        let (address, form, basic) = match login {
            Some(Login::Identity(token)) => {
                query.add("grant_type", "refresh_token");
                query.add("client_id", "isobox");
                query.add("refresh_token", token);
                (realm.clone(), Some(query.0), None)
            }
            Some(Login::Password { user, password }) => {
                query.add("account", user);
                (query.on(realm), None, Some(basic_value(user, password)))
            }
            _ => (query.on(realm), None, None),
        };
        let secret = basic.map(|value| Authorization::new(&realm.origin, value));
        let request = Request {
            form: form.as_deref(),
            authorization: secret.as_ref(),
            ..Request::get(&address)
        };
        let doing = || Error::new(format!("cannot get a token from {}", realm.origin));
        let reply = self
            .transport
            .send(&request)
            .map_err(|failure| failure.error)?;
        match reply.status {
            200 => {}
            401 | 403 if login.is_some() => {
                return Err(doing().because("it refuses the name or the password"));
            }
            401 | 403 => {
                return Err(doing()
                    .because("it lets nobody in without a name")
                    .hint(format!("try 'pull login {}'", self.registry.authority())));
            }
            status => return Err(doing().because(format!("it answers with status {status}"))),
        }
        let bytes = reply
            .into_bytes(TOKEN_LIMIT)
            .map_err(|e| super::verify::unwrap(e, doing))?;
        let answer: Answer = parse(&bytes, "answer of a token server", TOKEN_LIMIT)?;
        let token = answer
            .token
            .or(answer.access_token)
            .ok_or_else(|| doing().because("there is none in its answer"))?;
        self.bearer(&token)
    }
}

objects! {
    struct Answer in Exact {
        token: Option<String>,
        access_token: Option<String>,
    }
}

/// `name=value&...`, encoded.
#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    fn on(&self, address: &Address) -> Address {
        let separator = if address.target.contains('?') {
            '&'
        } else {
            '?'
        };
        address
            .origin
            .at(format!("{}{separator}{}", address.target, self.0))
    }
}

fn basic_value(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

/// The address of a realm, if a registry may name it.
fn realm_of(registry: &Origin, realm: &str) -> Result<Address> {
    let refuse = |why: String| {
        let shown: String = realm.chars().take(100).collect();
        Error::new(format!(
            "{registry} names a token server that cannot be used, {shown}"
        ))
        .because(why)
    };
    let address = Address::parse(realm).map_err(|e| refuse(e.to_string()))?;
    let same_host = address.origin.host == registry.host;
    if !address.origin.tls && (registry.tls || !same_host) {
        return Err(refuse("it has to be spoken to by https".into()));
    }
    check_near(registry, &address.origin).map_err(|why| refuse(why.into()))?;
    Ok(address)
}

/// Whether a token server sees the credentials for a registry.
fn trusts(registry: &Origin, realm: &Origin, listed: &[String]) -> bool {
    let (registry, realm) = (registry.host.as_str(), realm.host.as_str());
    registry == realm
        || KNOWN_REALMS.contains(&(registry, realm))
        || listed.iter().any(|host| host.eq_ignore_ascii_case(realm))
        || (registry.parse::<std::net::Ipv4Addr>().is_err() && related(registry, realm))
}

/// Whether two hosts lie in one domain that somebody owns: `registry.example.com`, with `example.com` or
/// `auth.example.com`. Two labels are a domain that is owned, unless the last are of the kind of `co.uk`.
fn related(one: &str, other: &str) -> bool {
    let owned = |host: &str| -> Option<String> {
        let labels: Vec<&str> = host.rsplit('.').collect();
        let public =
            matches!(labels[..], [country, kind, ..] if country.len() == 2 && kind.len() <= 3);
        let count = if public { 3 } else { 2 };
        let domain = labels.get(..count)?;
        Some(domain.join("."))
    };
    matches!((owned(one), owned(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let one = |text: &str| challenges([text].into_iter());
        let bearer = &one(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        )[0];
        assert!(bearer.is("bearer"));
        assert_eq!(
            bearer.parameter("Realm"),
            Some("https://auth.docker.io/token")
        );
        assert_eq!(bearer.parameter("scope"), Some("repository:a/b:pull,push"));
        let two = one(r#"Basic realm="a\"b, Bearer x", Bearer realm=https://x/y , service = z"#);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].parameter("realm"), Some("a\"b, Bearer x"));
        assert_eq!(
            (two[1].parameter("realm"), two[1].parameter("service")),
            (Some("https://x/y"), Some("z"))
        );
        for odd in [
            "",
            ",,,",
            "Bearer",
            "=",
            "Bearer realm=\"",
            "Bearer realm",
            "\"",
            "Basic \u{e9}",
            "a=b=c",
        ] {
            let _ = one(odd);
        }
        assert_eq!(one("Negotiate, Basic realm=x").len(), 2);
    }

    #[test]
    fn a_realm_is_reached_as_safely_as_its_registry() {
        let origin = |text: &str| Address::parse(text).unwrap().origin;
        let cases = [
            ("https://reg.io", "https://reg.io/token", true),
            ("https://reg.io", "https://other.example/token?x=y", true),
            ("https://reg.io", "http://reg.io/token", false),
            ("https://reg.io", "ftp://reg.io/", false),
            ("https://reg.io", "file:///etc/passwd", false),
            ("https://reg.io", "//evil", false),
            ("https://reg.io", "", false),
            ("https://reg.io", "https://user@reg.io/", false),
            ("https://reg.io", "https://127.0.0.1/", false),
            ("https://reg.io", "https://[::ffff:169.254.169.254]/", false),
            ("https://reg.io", "https://0x7f.1/", false),
            ("https://reg.io", "https://169.254.169.254/latest", false),
            ("https://reg.io", "https://reg。io/", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://10.0.0.1/token", false),
            ("http://127.0.0.1:5000", "https://other.example/", true),
        ];
        for (registry, realm, good) in cases {
            assert_eq!(
                realm_of(&origin(registry), realm).is_ok(),
                good,
                "{registry} {realm}"
            );
        }
    }

    #[test]
    fn credentials_are_shown_to_the_registry_s_own() {
        let origin = |host: &str| Origin::new(true, host).unwrap();
        let cases = [
            ("reg.io", "reg.io", true),
            ("registry-1.docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("registry.redhat.io", "sso.redhat.com", true),
            ("reg.io", "reg.io.evil.com", false),
            ("reg.io", "evil.com", false),
            ("reg.a.co.uk", "auth.a.co.uk", true),
            ("reg.a.co.uk", "evil.co.uk", false),
            ("10.0.0.1", "10.0.0.2", false),
            ("127.0.0.1", "9.0.0.1", false),
        ];
        for (registry, realm, sees) in cases {
            assert_eq!(
                trusts(&origin(registry), &origin(realm), &[]),
                sees,
                "{registry} {realm}"
            );
        }
        assert!(trusts(
            &origin("reg.io"),
            &origin("evil.com"),
            &["EVIL.com".into()]
        ));
    }
}
