-- Athena: uses of intermediate keys in the last day. Each stands for many objects, which CloudTrail does not name:
-- those in its scope whose metadata has the intermediate key's id. The id's first 21 characters are those of
-- `intermediate`.

SELECT date_trunc('hour', used_at) AS hour, event, who, key_arn, scope, intermediate, count(*) AS uses
FROM sealwax_audit.uses
WHERE format = 'v1/intermediate'
    AND day >= date_format(current_timestamp - INTERVAL '1' DAY, '%Y/%m/%d')
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY hour, uses DESC;
