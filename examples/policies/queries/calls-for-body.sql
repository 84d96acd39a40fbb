-- Athena: every use of the keys for one body, in one month. Set salt and days.
--
-- The salt is the first 32 characters of the object's metadata `sealwax-header`. It stays the same in copies, replicas
-- and rewraps, so more than one place can appear; it is another one in each version of an object.

SELECT used_at, event, place, new_place, who, session, address, region, key_arn, error
FROM sealwax_audit.uses
WHERE salt = 'QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX'
    AND day BETWEEN '2026/11/01' AND '2026/11/30'
ORDER BY used_at;
