//! The scene of a combination: the operator, the wrapping keys and the servers.

use std::sync::{Arc, Mutex, PoisonError};

use sealwax_s3::{
    DiscoveryFilter, KmsKeyArn, KmsKeyring, S3Uri, SealedClient, SealedClientBuilder,
    SidecarPolicy,
    aws_config::{Region, retry::RetryConfig},
    aws_sdk_kms,
    envelope::{CacheLimits, CachingKeyring, EncryptionContext, Keyring, MultiKeyring},
    s3ec::S3ec,
};
use sealwax_tests::{Call, LocalStack, Reaction, SeaweedFs, Wire, east, west};

use crate::s3ec;

/// A wrapping key by its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// The operator's key in us-east-1.
    East,
    /// The operator's key in us-west-2.
    West,
    /// The key in us-east-1 that the operator adds, or changes to.
    New,
    /// The attacker's key in us-east-1, in the operator's account. The operator may use it, as any
    /// key of the account.
    Foreign,
}

impl Name {
    pub(crate) const ALL: [Self; 4] = [Self::East, Self::West, Self::New, Self::Foreign];

    /// `true` for keys in us-east-1.
    pub(crate) fn is_east(self) -> bool {
        self != Self::West
    }
}

/// The operator's permissions, and what works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// May decrypt and encrypt; names the keys East and West.
    Full,
    /// May decrypt and encrypt; reads with any key of the account.
    Account,
    /// May only re-encrypt.
    ReEncrypts,
    /// May all, and us-east-1 does not answer.
    EastDown,
    /// May all, and KMS throttles each call.
    Throttled,
}

impl Role {
    pub(crate) const ALL: [Self; 5] =
        [Self::Full, Self::Account, Self::ReEncrypts, Self::EastDown, Self::Throttled];

    /// Answers a request in place of KMS, as it would.
    fn reaction(self, call: &Call) -> Reaction {
        let is_cryptic = |operation: &str| operation != "ReEncrypt";
        let refusal = |kind: &str| {
            Reaction::Answer(400, format!(r#"{{"__type":"{kind}","message":"by this test"}}"#))
        };
        match self {
            _ if call.service != "kms" => Reaction::Pass,
            Self::Full | Self::Account => Reaction::Pass,
            Self::ReEncrypts if is_cryptic(&call.operation) => refusal("AccessDeniedException"),
            Self::ReEncrypts => Reaction::Pass,
            Self::EastDown if call.region == "us-east-1" => Reaction::Refuse,
            Self::EastDown => Reaction::Pass,
            Self::Throttled => refusal("ThrottlingException"),
        }
    }
}

/// Way in which the object's data key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Under East and West.
    Direct,
    /// Under an intermediate key, which is under East and West.
    Shared,
    /// Under an intermediate key, which is under East; and under West itself.
    Mixed,
    /// An object of the S3 Encryption Client, under East.
    V3,
    V2,
    /// With its key in an instruction file.
    V3File,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Direct, Self::Shared, Self::Mixed, Self::V3, Self::V2, Self::V3File];

    /// `true` for objects of the S3 Encryption Client.
    pub(crate) fn is_s3ec(self) -> bool {
        matches!(self, Self::V3 | Self::V2 | Self::V3File)
    }

    /// Returns the suffix of the object beside the object that has keys of it.
    pub(crate) fn companion(self) -> &'static str {
        if self.is_s3ec() { ".instruction" } else { ".sealwax" }
    }
}

/// The servers and keys of one object and its copies. Combinations use it one after another.
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    keys: [KmsKeyArn; 4],
    role: Arc<Mutex<Role>>,
    /// Requests of the operator.
    pub(crate) wire: Wire,
    kms: LocalStack,
    store: SeaweedFs,
    /// Servers as the test itself sees them.
    pub(crate) quiet_kms: LocalStack,
    pub(crate) quiet_store: SeaweedFs,
    pub(crate) object: S3Uri,
    /// A place in the scope of the object's intermediate key.
    pub(crate) near: S3Uri,
    /// A place out of that scope.
    pub(crate) far: S3Uri,
}

impl Scene {
    /// Sets a scene with the attacker's key `foreign`.
    pub(crate) async fn new(kind: Kind, foreign: &KmsKeyArn) -> Self {
        let role = Arc::new(Mutex::new(Role::Full));
        let of_wire = Arc::clone(&role);
        let wire = Wire::new(move |call| {
            of_wire.lock().unwrap_or_else(PoisonError::into_inner).reaction(call)
        });
        let mut kms = LocalStack::over(wire.clone(), east());
        // Each refusal is final: the retries of the SDK are not the subject.
        kms.config = kms.config.to_builder().retry_config(RetryConfig::disabled()).build();
        let (store, quiet_store) =
            (SeaweedFs::over(wire.clone()).await, SeaweedFs::over(Wire::default()).await);
        let quiet_kms = LocalStack::new(east());
        let folder = quiet_store.object("h").to_string();
        let named = |name: &str| format!("{folder}{name}").parse().expect("an object's name");
        Self {
            kind,
            keys: [east().key, west().key, east().key_2, foreign.clone()],
            role,
            wire,
            kms,
            store,
            quiet_kms,
            quiet_store,
            object: named("/object"),
            near: named("/copy"),
            far: named("-far/copy"),
        }
    }

    pub(crate) fn key(&self, name: Name) -> &KmsKeyArn {
        &self.keys[name as usize]
    }

    /// Returns the part of a wrapping key by its ARN.
    pub(crate) fn name(&self, arn: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|name| self.key(*name).as_str() == arn)
    }

    /// Returns the place of an object in the format.
    pub(crate) fn place(uri: &S3Uri) -> String {
        format!("{}/{}", uri.bucket(), uri.key())
    }

    /// Returns the encryption context of each object.
    pub(crate) fn context() -> EncryptionContext {
        EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context")
    }

    /// Starts a combination: forgets the requests so far.
    pub(crate) fn begin(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
        self.wire.forget();
    }

    /// Returns a keyring of the operator with these keys.
    pub(crate) fn keyring(&self, names: &[Name]) -> KmsKeyring {
        self.kms.keyring(names.iter().map(|name| self.key(*name)))
    }

    /// Returns the keyring that the operator reads with, in this role. A keyring remembers Regions
    /// that are down, so each combination has its own.
    pub(crate) fn reading(&self, role: Role) -> KmsKeyring {
        match role {
            Role::Account => {
                let filter = DiscoveryFilter::accounts([self.key(Name::East).account()]);
                self.kms.keyring_builder().discovery(filter).build().expect("no ARN to parse")
            }
            _ if self.kind.is_s3ec() => self.keyring(&[Name::East]),
            _ => self.keyring(&[Name::East, Name::West]),
        }
    }

    /// Returns the operator's client with this keyring. It looks for sidecars.
    pub(crate) fn client(&self, keyring: impl Keyring + 'static) -> SealedClient {
        let client = self.client_builder(keyring).sidecars(SidecarPolicy::read());
        let s3ec = if self.kind.is_s3ec() { s3ec::settings() } else { S3ec::refused() };
        client.s3ec(s3ec).build()
    }

    /// Starts to build a client of the operator with this keyring.
    pub(crate) fn client_builder(&self, keyring: impl Keyring + 'static) -> SealedClientBuilder {
        self.store.client_builder(keyring)
    }

    /// Returns the operator's KMS settings.
    pub(crate) fn kms(&self) -> &LocalStack {
        &self.kms
    }

    /// Returns a client of KMS in the Region of `name`, for those who act beside the operator.
    pub(crate) fn kms_of(&self, name: Name) -> aws_sdk_kms::Client {
        let region = Region::new(self.key(name).region().to_owned());
        let config = self.quiet_kms.config.to_builder().region(region).build();
        aws_sdk_kms::Client::new(&config)
    }

    /// Returns a keyring of a reader that has this key alone.
    pub(crate) fn only(&self, name: Name) -> KmsKeyring {
        self.quiet_kms.keyring([self.key(name)])
    }

    /// Returns a new keyring that seals objects of this kind.
    pub(crate) fn sealing(&self) -> Arc<dyn Keyring> {
        let both = || self.quiet_kms.keyring([self.key(Name::East), self.key(Name::West)]);
        let limits = CacheLimits::new().with_scope_folders(1);
        match self.kind {
            Kind::Direct => Arc::new(both()),
            Kind::V3 | Kind::V2 | Kind::V3File => Arc::new(self.only(Name::East)),
            Kind::Shared => Arc::new(CachingKeyring::with_limits(both(), limits)),
            Kind::Mixed => {
                let shared = CachingKeyring::with_limits(self.only(Name::East), limits);
                let direct: Arc<dyn Keyring> = Arc::new(self.only(Name::West));
                Arc::new(MultiKeyring::new(Arc::new(shared), [direct]))
            }
        }
    }
}
