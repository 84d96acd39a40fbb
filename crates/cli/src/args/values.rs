//! Values that are checked as they are typed.

pub(crate) fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.filter(|host| !host.is_empty())
        .map(|_| text.to_owned())
        .ok_or("not an http:// or https:// URL")
}

pub(crate) fn fraction(text: &str) -> Result<f64, &'static str> {
    let fraction = text.parse().ok().filter(|fraction| *fraction > 0.0 && *fraction <= 1.0);
    fraction.ok_or("not a fraction above 0 and up to 1, such as 0.01")
}

pub(crate) fn account_id(text: &str) -> Result<String, &'static str> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| text.to_owned()).ok_or("not an AWS account ID of 12 digits")
}

pub(crate) fn place(text: &str) -> Result<String, &'static str> {
    let place = text.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    place.map(|_| text.to_owned()).ok_or("not BUCKET/KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        assert!(
            endpoint_url("http://localhost:4566").is_ok()
                && endpoint_url("https://s3.example.com").is_ok()
        );
        assert!(endpoint_url("localhost:4566").is_err() && endpoint_url("http://").is_err());
        assert!(account_id("000000000000").is_ok() && account_id("12345678901").is_err());
        assert!(account_id("12345678901x").is_err());
        assert!(
            fraction("0.01").is_ok()
                && fraction("1").is_ok()
                && fraction("0").is_err()
                && fraction("1.1").is_err()
        );
        assert!(fraction("NaN").is_err() && fraction("x").is_err());
        assert!(
            place("bucket/a/key").is_ok() && place("bucket").is_err() && place("/key").is_err()
        );
    }
}
