-- Athena: callers that unwrapped the data key of one object, or tried to, in one month. Set place and days.
--
-- The place is BUCKET/KEY at the time of wrapping; each version of the object has its own salt. Objects under an
-- intermediate key do not appear here; see intermediate-keys.sql.

SELECT used_at, event, salt, who, session, address, region, key_arn, error
FROM sealwax_audit.uses
WHERE place = 'invoices/2026/report.pdf'
    AND event IN ('Decrypt', 'ReEncrypt')
    AND day BETWEEN '2026/11/01' AND '2026/11/30'
ORDER BY used_at;
