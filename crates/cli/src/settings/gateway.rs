//! Settings of the gateway in a profile: `[profiles.NAME.serve]`.

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, ops::Range, path::PathBuf};

use sealwax_gateway::BucketPrefix;
use serde::Deserialize;
use toml::Spanned;

use super::{Check, is_one, is_time};
use crate::args::{MIN_GATEWAY_MEMORY, UnsealedArg};

/// Settings of the gateway.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GatewayProfile {
    listen: Option<Spanned<String>>,
    clients: Option<PathBuf>,
    unsealed: Option<Spanned<String>>,
    unsealed_in: Vec<Spanned<String>>,
    domains: Vec<String>,
    tls_certificate: Option<Spanned<PathBuf>>,
    tls_key: Option<Spanned<PathBuf>>,
    insecure: Option<Spanned<bool>>,
    max_connections: Option<usize>,
    idle: Option<Spanned<String>>,
    status: Option<Spanned<String>>,
    access_log: bool,
    memory: Option<Spanned<u64>>,
    spool: Option<PathBuf>,
    spool_size: Option<u64>,
}

impl GatewayProfile {
    /// Checks each value as flags are checked; returns the position and the reason of the first error.
    pub(super) fn check(&self) -> Result<(), (Range<usize>, String)> {
        let addresses = self.listen.iter().chain(&self.status);
        let addresses = addresses.map(|value| (value, is_address as Check));
        let unsealed = self.unsealed.iter().map(|value| (value, is_one::<UnsealedArg> as Check));
        let places = self.unsealed_in.iter().map(|value| (value, is_place as Check));
        let idle = self.idle.iter().map(|value| (value, is_time as Check));
        for (value, check) in addresses.chain(unsealed).chain(places).chain(idle) {
            check(value.get_ref()).map_err(|reason| (value.span(), reason))?;
        }
        let wrong = |span: Range<usize>, reason: &str| Err((span, reason.to_owned()));
        match (&self.tls_certificate, &self.tls_key, &self.insecure, &self.memory) {
            (Some(one), None, _, _) => wrong(one.span(), "tls_certificate needs tls_key"),
            (None, Some(one), _, _) => wrong(one.span(), "tls_key needs tls_certificate"),
            (Some(_), _, Some(insecure), _) if *insecure.get_ref() => {
                wrong(insecure.span(), "insecure is for addresses without tls_certificate")
            }
            (_, _, _, Some(memory)) if *memory.get_ref() < MIN_GATEWAY_MEMORY => {
                let reason = format!("must be {MIN_GATEWAY_MEMORY} or more, in MiB");
                wrong(memory.span(), &reason)
            }
            _ => match (&self.unsealed, self.unsealed_in.first()) {
                (Some(_), Some(place)) => wrong(place.span(), "unsealed_in replaces unsealed"),
                _ => Ok(()),
            },
        }
    }

    /// Applies `resolve` to all paths.
    pub(super) fn resolve(&mut self, resolve: impl Fn(&mut PathBuf)) {
        self.clients.iter_mut().chain(&mut self.spool).for_each(&resolve);
        let tls = self.tls_certificate.iter_mut().chain(&mut self.tls_key);
        tls.for_each(|path| resolve(path.get_mut()));
    }

    /// Returns the values by argument id.
    pub(super) fn values(self) -> BTreeMap<&'static str, Vec<OsString>> {
        let one = |value: Option<OsString>| value.into_iter().collect::<Vec<_>>();
        let text = |value: Option<Spanned<String>>| one(value.map(|it| it.into_inner().into()));
        let path = |value: Option<PathBuf>| one(value.map(PathBuf::into_os_string));
        let number = |value: Option<u64>| one(value.map(|it| it.to_string().into()));
        let flag = |value: bool| one(value.then(|| "true".into()));
        let values = [
            ("listen", text(self.listen)),
            ("clients", path(self.clients)),
            ("unsealed", text(self.unsealed)),
            (
                "unsealed_in",
                self.unsealed_in.into_iter().map(|it| it.into_inner().into()).collect(),
            ),
            ("domains", self.domains.into_iter().map(OsString::from).collect()),
            ("tls_certificate", path(self.tls_certificate.map(Spanned::into_inner))),
            ("tls_key", path(self.tls_key.map(Spanned::into_inner))),
            ("insecure", flag(self.insecure.is_some_and(Spanned::into_inner))),
            ("max_connections", number(self.max_connections.map(|it| it as u64))),
            ("idle", text(self.idle)),
            ("status", text(self.status)),
            ("access_log", flag(self.access_log)),
            ("memory", number(self.memory.map(Spanned::into_inner))),
            ("spool", path(self.spool)),
            ("spool_size", number(self.spool_size)),
        ];
        values.into_iter().filter(|(_, values)| !values.is_empty()).collect()
    }
}

fn is_address(text: &str) -> Result<(), String> {
    let address = text.parse::<SocketAddr>();
    address.map(drop).map_err(|_| format!("must be an address and a port (got {text:?})"))
}

fn is_place(text: &str) -> Result<(), String> {
    text.parse::<BucketPrefix>().map(drop).map_err(|error| error.to_string())
}
