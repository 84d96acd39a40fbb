-- Athena: number of unwraps of each object's data key per hour, in the last day, busiest first.
-- A scope, which ends in a slash, stands for all objects under its intermediate keys.

SELECT
    date_trunc('hour', used_at) AS hour,
    coalesce(place, scope, format, '(not known)') AS place,
    count(*) AS decrypts,
    count(DISTINCT who) AS roles,
    count_if(error IS NOT NULL) AS refused
FROM sealwax_audit.uses
WHERE event = 'Decrypt'
    AND day >= date_format(current_timestamp - INTERVAL '1' DAY, '%Y/%m/%d')
GROUP BY 1, 2
ORDER BY decrypts DESC
LIMIT 100;
