//! KMS with an all-zero data key, and STS with one caller.

use std::io;

use serde_json::{Value, json};

use super::{
    http::{Answer, Connection, Request},
    stats::Stats,
};
use crate::contender::ACCOUNT;

pub(super) fn answer(
    request: &Request,
    connection: &mut Connection,
    stats: &Stats,
) -> io::Result<Answer> {
    let body = connection.body(request.body_len()?)?;
    let Some(operation) =
        request.header("x-amz-target").and_then(|target| target.strip_prefix("TrentService."))
    else {
        stats.count("GetCallerIdentity");
        return Ok(Answer::ok("text/xml", caller_identity()));
    };
    let asked: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    let plaintext = format!("{}=", "A".repeat(43)); // 32 bytes
    let ciphertext = format!("{}==", "A".repeat(246)); // 184 bytes, as from AWS KMS
    let key = &asked["KeyId"];
    let answer = match operation {
        "GenerateDataKey" => {
            stats.count("GenerateDataKey");
            json!({ "CiphertextBlob": ciphertext, "Plaintext": plaintext, "KeyId": key })
        }
        "Encrypt" => {
            stats.count("Encrypt");
            json!({ "CiphertextBlob": ciphertext, "KeyId": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" })
        }
        "Decrypt" => {
            stats.count("Decrypt");
            json!({ "Plaintext": plaintext, "KeyId": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" })
        }
        "ReEncrypt" => {
            stats.count("ReEncrypt");
            json!({
                "CiphertextBlob": ciphertext,
                "SourceKeyId": asked["SourceKeyId"],
                "KeyId": asked["DestinationKeyId"],
            })
        }
        other => return Err(io::Error::other(format!("KMS {other} is not served"))),
    };
    Ok(Answer::ok("application/x-amz-json-1.1", answer.to_string()))
}

fn caller_identity() -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>bench</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}
