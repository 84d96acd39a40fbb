//! Time limits of S3's answers, for clients without any: the SDK sets none by default.

use std::time::Duration;

use aws_sdk_s3::{Client, Config, config::timeout::TimeoutConfig};

/// Default read timeout. It counts from a request's start, so it includes sending the body: a part
/// that shares a slow line with 15 others takes minutes. (The SDK's stalled-stream protection ends a
/// stalled transfer much earlier.)
const READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Long bodies get more time, as if they were sent at this rate: 128 KiB/s.
const SLOW_BYTES_PER_SECOND: u64 = 128 * 1024;

/// Sets a read timeout for a client without any time limit.
pub(crate) fn with_read_timeout(s3: Client) -> Client {
    let limited = s3.config().timeout_config().is_some_and(|limits| {
        limits
            .read_timeout()
            .or(limits.operation_attempt_timeout())
            .or(limits.operation_timeout())
            .is_some()
    });
    if limited {
        return s3;
    }
    let limits =
        s3.config().timeout_config().cloned().unwrap_or_else(|| TimeoutConfig::builder().build());
    let limits = limits.to_builder().read_timeout(READ_TIMEOUT).build();
    Client::from_conf(s3.config().to_builder().timeout_config(limits).build())
}

/// Returns the settings for a request whose body has `len` bytes.
pub(crate) fn for_body(s3: &Client, len: usize) -> aws_sdk_s3::config::Builder {
    let config = Config::builder();
    // Any other limit is the caller's.
    match s3.config().timeout_config().and_then(TimeoutConfig::read_timeout) {
        Some(READ_TIMEOUT) => {
            let limit = READ_TIMEOUT + Duration::from_secs(len as u64 / SLOW_BYTES_PER_SECOND);
            config.timeout_config(TimeoutConfig::builder().read_timeout(limit).build())
        }
        _ => config,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::BehaviorVersion;

    use super::*;

    fn read_timeout(client: &Client) -> Option<Duration> {
        client.config().timeout_config().and_then(TimeoutConfig::read_timeout)
    }

    #[test]
    fn only_a_client_without_limits_gets_one() {
        let config = || Config::builder().behavior_version(BehaviorVersion::v2026_01_12());
        let connect = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1));
        for limits in [None, Some(connect.clone())] {
            let mut config = config();
            config.set_timeout_config(
                limits.map(aws_sdk_s3::config::timeout::TimeoutConfigBuilder::build),
            );
            assert_eq!(
                read_timeout(&with_read_timeout(Client::from_conf(config.build()))),
                Some(READ_TIMEOUT)
            );
        }
        for limits in [
            connect.clone().read_timeout(Duration::from_secs(9)),
            connect.operation_timeout(READ_TIMEOUT),
        ] {
            let own = Client::from_conf(config().timeout_config(limits.build()).build());
            assert_eq!(read_timeout(&with_read_timeout(own.clone())), read_timeout(&own));
        }
    }
}
