-- Athena: every use of the keys, by Sealwax and others, with its encryption context. The other queries read this view.
-- Set the ARNs of the keys.
--
-- CloudTrail may omit the parameters of denied calls; place and format are then NULL.
-- A ReEncrypt has two contexts: `place` is the old place, `new_place` the new one.
-- `salt` names the body. An intermediate key (caching keyring) has neither place nor salt: its `format` is
-- v1/intermediate, `scope` is the prefix of the places that it may serve, and `intermediate` names it.

CREATE OR REPLACE VIEW sealwax_audit.uses AS
SELECT
    from_iso8601_timestamp(eventtime) AS used_at,
    day,
    region,
    eventname AS event,
    coalesce(
        json_extract_scalar(requestparameters, '$.encryptionContext["sealwax:place"]'),
        json_extract_scalar(requestparameters, '$.sourceEncryptionContext["sealwax:place"]')
    ) AS place,
    json_extract_scalar(requestparameters, '$.destinationEncryptionContext["sealwax:place"]') AS new_place,
    coalesce(
        json_extract_scalar(requestparameters, '$.encryptionContext["sealwax:salt"]'),
        json_extract_scalar(requestparameters, '$.sourceEncryptionContext["sealwax:salt"]')
    ) AS salt,
    coalesce(
        json_extract_scalar(requestparameters, '$.encryptionContext["sealwax:scope"]'),
        json_extract_scalar(requestparameters, '$.sourceEncryptionContext["sealwax:scope"]')
    ) AS scope,
    coalesce(
        json_extract_scalar(requestparameters, '$.encryptionContext["sealwax:intermediate"]'),
        json_extract_scalar(requestparameters, '$.sourceEncryptionContext["sealwax:intermediate"]')
    ) AS intermediate,
    coalesce(
        json_extract_scalar(requestparameters, '$.encryptionContext["sealwax:format"]'),
        json_extract_scalar(requestparameters, '$.sourceEncryptionContext["sealwax:format"]')
    ) AS format,
    coalesce(
        useridentity.sessioncontext.sessionissuer.arn, useridentity.arn, useridentity.invokedby, '(unknown)'
    ) AS who,
    useridentity.arn AS session,
    sourceipaddress AS address,
    errorcode AS error,
    CASE WHEN cardinality(resources) > 0 THEN resources[1].arn END AS key_arn,
    requestid
FROM sealwax_audit.events
WHERE eventsource = 'kms.amazonaws.com'
    AND (
        eventname IN ('Decrypt', 'Encrypt', 'ReEncrypt')
        OR eventname LIKE 'GenerateDataKey%'
    )
    AND (
        requestparameters LIKE '%sealwax:format%'
        OR any_match(resources, resource -> resource.arn IN (
            'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
            'arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321'
        ))
    );
