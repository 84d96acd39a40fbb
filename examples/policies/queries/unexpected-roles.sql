-- Athena: uses of the keys by unexpected roles in the last week, including denied calls. Set the roles.

SELECT used_at, event, place, scope, format, who, session, address, region, error
FROM sealwax_audit.uses
WHERE day >= date_format(current_timestamp - INTERVAL '7' DAY, '%Y/%m/%d')
    AND NOT (
        (event = 'GenerateDataKey' AND who = 'arn:aws:iam::111122223333:role/sealwax-writer')
        OR (event = 'Encrypt' AND who IN (
            'arn:aws:iam::111122223333:role/sealwax-writer',
            'arn:aws:iam::111122223333:role/sealwax-disaster-recovery'
        ))
        OR (event = 'Decrypt' AND who IN (
            'arn:aws:iam::111122223333:role/sealwax-reader',
            'arn:aws:iam::111122223333:role/sealwax-disaster-recovery'
        ))
        OR (event = 'ReEncrypt' AND who = 'arn:aws:iam::111122223333:role/sealwax-disaster-recovery')
    )
ORDER BY used_at DESC;
