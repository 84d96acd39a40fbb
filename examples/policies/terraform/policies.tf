# All policies as values; this file creates no resource. ../*.json is the result for the names in ../README.md.

locals {
  arn     = "arn:${local.partition}"
  buckets = { source = var.bucket, replica = var.replica_bucket }
  objects = { for side, bucket in local.buckets : side => "${local.arn}:s3:::${bucket}/${var.prefix}*" }
  key_objects = {
    for side, bucket in local.buckets : side => "${local.arn}:s3:::${bucket}/${var.key_store_prefix}*"
  }

  role_names = ["writer", "reader", "disaster-recovery", "uploads", "shred", "auditor"]
  role = {
    for name in local.role_names : name => "${local.arn}:iam::${local.account}:role/${var.role_prefix}${name}"
  }

  # An object's place is BUCKET/KEY at the time it was sealed or rewrapped.
  place        = { for side, bucket in local.buckets : side => "${bucket}/${var.prefix}*" }
  places       = [local.place.source, local.place.replica]
  kms_format   = "kms:EncryptionContext:sealwax:format"
  kms_place    = "kms:EncryptionContext:sealwax:place"
  kms_salt     = "kms:EncryptionContext:sealwax:salt"
  kms_r        = "kms:EncryptionContext:sealwax:intermediate"
  kms_scope    = "kms:EncryptionContext:sealwax:scope"
  kms_names    = "kms:EncryptionContextKeys"
  writer_names = concat(["sealwax:format", "sealwax:place", "sealwax:salt"], var.context_names)
  intermediate_names = concat(
    ["sealwax:format", "sealwax:intermediate", "sealwax:scope"],
    var.context_names,
  )

  # Every action that can return a plaintext key, or make something that passes as sealed.
  uses = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
  ]

  # Conditions on each role's use of the keys. A wrapped intermediate key has a scope, a prefix of places.
  bound_write = {
    StringEquals                = { (local.kms_format) = "v1" }
    StringLike                  = { (local.kms_place) = local.place.source }
    "ForAllValues:StringEquals" = { (local.kms_names) = local.writer_names }
  }
  bound_resume = {
    StringEquals = { (local.kms_format) = "v1" }
    StringLike   = { (local.kms_place) = local.place.source }
  }
  bound_read = {
    StringEquals = { (local.kms_format) = "v1" }
    StringLike   = { (local.kms_place) = local.places }
  }
  scoped_write = {
    StringEquals                = { (local.kms_format) = "v1/intermediate" }
    StringLike                  = { (local.kms_scope) = local.place.source }
    "ForAllValues:StringEquals" = { (local.kms_names) = local.intermediate_names }
  }
  scoped_read = {
    StringEquals = { (local.kms_format) = "v1/intermediate" }
    StringLike   = { (local.kms_scope) = local.places }
  }

  # The first key of a put generates the data key; the others wrap it too.
  writer_use  = { source = "kms:GenerateDataKey", replica = "kms:Encrypt" }
  ask_uses    = ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
  rewrap_uses = ["kms:Decrypt", "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"]

  key_grants = {
    for side, writer_use in local.writer_use : side => [
      for grant in concat(
        [
          { sid = "WriterWraps", role = "writer", actions = [writer_use], condition = local.bound_write },
          { sid = "ReaderUnwraps", role = "reader", actions = ["kms:Decrypt"], condition = local.bound_read },
          {
            sid       = "DisasterRecoveryRewraps"
            role      = "disaster-recovery"
            actions   = local.rewrap_uses
            condition = local.bound_read
          },
        ],
        [
          for _ in var.writers_resume ? [0] : [] :
          { sid = "WriterResumes", role = "writer", actions = ["kms:Decrypt"], condition = local.bound_resume }
        ],
        [
          for _ in var.readers_audit_key_material ? [0] : [] :
          { sid = "ReaderGetsKeyMaterial", role = "reader", actions = local.ask_uses, condition = local.bound_read }
        ],
        [
          for _ in var.readers_audit_key_material && var.intermediate_keys ? [0] : [] : {
            sid       = "ReaderGetsIntermediateKeyMaterial"
            role      = "reader"
            actions   = local.ask_uses
            condition = local.scoped_read
          }
        ],
        [
          for it in [
            {
              sid       = "WriterIntermediateKeys"
              role      = "writer"
              actions   = [writer_use]
              condition = local.scoped_write
            },
            {
              sid       = "ReaderIntermediateKeys"
              role      = "reader"
              actions   = ["kms:Decrypt"]
              condition = local.scoped_read
            },
            {
              sid       = "DisasterRecoveryIntermediateKeys"
              role      = "disaster-recovery"
              actions   = local.rewrap_uses
              condition = local.scoped_read
            },
          ] : it if var.intermediate_keys
        ],
        ) : {
        Sid       = grant.sid
        Effect    = "Allow"
        Principal = { AWS = local.role[grant.role] }
        Action    = grant.actions
        Resource  = "*"
        Condition = grant.condition
      }
    ]
  }

  key_policies = {
    for side, grants in local.key_grants : side => {
      Version = "2012-10-17"
      # `flatten`, because the statements have different types.
      Statement = flatten([
        [
          {
            Sid       = "AdministratorsManage"
            Effect    = "Allow"
            Principal = { AWS = var.key_administrators }
            Action = [
              "kms:CancelKeyDeletion",
              "kms:DescribeKey",
              "kms:DisableKey",
              "kms:DisableKeyRotation",
              "kms:EnableKey",
              "kms:EnableKeyRotation",
              "kms:GetKeyPolicy",
              "kms:GetKeyRotationStatus",
              "kms:ListGrants",
              "kms:ListKeyPolicies",
              "kms:ListKeyRotations",
              "kms:ListResourceTags",
              "kms:PutKeyPolicy",
              "kms:RevokeGrant",
              "kms:RotateKeyOnDemand",
              "kms:ScheduleKeyDeletion",
              "kms:TagResource",
              "kms:UntagResource",
              "kms:UpdateKeyDescription",
            ]
            Resource = "*"
          },
        ],
        [
          {
            Sid       = "AuditorInspects"
            Effect    = "Allow"
            Principal = { AWS = local.role["auditor"] }
            Action    = local.key_looks
            Resource  = "*"
          },
        ],
        grants,
        [
          # Overrides every permission of this policy and of grants: no use without Sealwax's encryption context.
          {
            Sid       = "DenyAllButSealwax"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = local.uses
            Resource  = "*"
            Condition = { StringNotEquals = { (local.kms_format) = ["v1", "v1/intermediate"] } }
          },
        ],
        [
          {
            Sid       = "DenyOtherPlaces"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = local.uses
            Resource  = "*"
            Condition = {
              StringEquals  = { (local.kms_format) = "v1" }
              StringNotLike = { (local.kms_place) = local.places }
            }
          },
        ],
        [
          # The salt names the body, in CloudTrail and for KMS, which then rejects wrapped keys of other bodies.
          {
            Sid       = "DenyWithoutSalt"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = local.uses
            Resource  = "*"
            Condition = {
              Null         = { (local.kms_salt) = "true" }
              StringEquals = { (local.kms_format) = "v1" }
            }
          },
        ],
        [
          {
            Sid       = "DenyOtherScopes"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = local.uses
            Resource  = "*"
            Condition = {
              StringEquals  = { (local.kms_format) = "v1/intermediate" }
              StringNotLike = { (local.kms_scope) = local.places }
            }
          },
        ],
        [
          {
            Sid       = "DenyWithoutId"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = local.uses
            Resource  = "*"
            Condition = {
              Null         = { (local.kms_r) = "true" }
              StringEquals = { (local.kms_format) = "v1/intermediate" }
            }
          },
        ],
        [
          # A grant would bypass the roles above.
          {
            Sid       = "DenyGrants"
            Effect    = "Deny"
            Principal = { AWS = "*" }
            Action    = "kms:CreateGrant"
            Resource  = "*"
          },
        ],
      ])
    }
  }

  key_looks = [
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
  ]

  keys = [local.key_arn.source, local.key_arn.replica]

  role_policies = {
    "writer" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "GenerateDataKeys"
            Effect    = "Allow"
            Action    = "kms:GenerateDataKey"
            Resource  = local.key_arn.source
            Condition = local.bound_write
          },
          {
            Sid       = "WrapForReplica"
            Effect    = "Allow"
            Action    = "kms:Encrypt"
            Resource  = local.key_arn.replica
            Condition = local.bound_write
          },
        ],
        [
          for side in var.intermediate_keys ? ["source", "replica"] : [] : {
            Sid       = "IntermediateKeysOfThe${title(side)}"
            Effect    = "Allow"
            Action    = local.writer_use[side]
            Resource  = local.key_arn[side]
            Condition = local.scoped_write
          }
        ],
        [
          {
            Sid    = "Store"
            Effect = "Allow"
            # GetObject checks after a lost response whether the object was stored. It reads ciphertext.
            Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
            Resource = local.objects.source
          },
        ],
      ])
    }

    "writer-resume" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "UnwrapToResume"
            Effect    = "Allow"
            Action    = "kms:Decrypt"
            Resource  = local.keys
            Condition = local.bound_resume
          },
        ],
      ])
    }

    "reader" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "Unwrap"
            Effect    = "Allow"
            Action    = "kms:Decrypt"
            Resource  = local.keys
            Condition = local.bound_read
          },
        ],
        [
          for _ in var.intermediate_keys ? [0] : [] : {
            Sid       = "UnwrapIntermediateKeys"
            Effect    = "Allow"
            Action    = "kms:Decrypt"
            Resource  = local.keys
            Condition = local.scoped_read
          }
        ],
        [
          {
            Sid      = "Fetch"
            Effect   = "Allow"
            Action   = ["s3:GetObject", "s3:GetObjectVersion"]
            Resource = [local.objects.source, local.objects.replica]
          },
        ],
      ])
    }

    "key-material" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "GetKeyMaterial"
            Effect    = "Allow"
            Action    = ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
            Resource  = local.keys
            Condition = local.bound_read
          },
        ],
        [
          for _ in var.intermediate_keys ? [0] : [] : {
            Sid       = "GetIntermediateKeyMaterial"
            Effect    = "Allow"
            Action    = ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
            Resource  = local.keys
            Condition = local.scoped_read
          }
        ],
      ])
    }

    "disaster-recovery" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "RewrapKeys"
            Effect    = "Allow"
            Action    = local.rewrap_uses
            Resource  = local.keys
            Condition = local.bound_read
          },
        ],
        [
          for _ in var.intermediate_keys ? [0] : [] : {
            Sid       = "RewrapIntermediateKeys"
            Effect    = "Allow"
            Action    = local.rewrap_uses
            Resource  = local.keys
            Condition = local.scoped_read
          }
        ],
        [
          {
            Sid    = "CopyOntoItself"
            Effect = "Allow"
            Action = [
              "s3:AbortMultipartUpload",
              "s3:GetObject",
              "s3:GetObjectAnnotation",
              "s3:GetObjectLegalHold",
              "s3:GetObjectRetention",
              "s3:GetObjectTagging",
              "s3:GetObjectVersion",
              "s3:GetObjectVersionTagging",
              "s3:PutObject",
              "s3:PutObjectAnnotation",
              "s3:PutObjectLegalHold",
              "s3:PutObjectRetention",
              "s3:PutObjectTagging",
            ]
            Resource = [local.objects.source, local.objects.replica]
          },
        ],
        [
          {
            Sid      = "CheckAclsDisabled"
            Effect   = "Allow"
            Action   = "s3:GetBucketOwnershipControls"
            Resource = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}"]
          },
        ],
      ])
    }

    "list" = {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "ListObjects"
          Effect   = "Allow"
          Action   = ["s3:ListBucket", "s3:ListBucketVersions"]
          Resource = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}"]
        },
      ]
    }

    "writer-key-store" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "CreateKeyObjects"
            Effect    = "Allow"
            Action    = "s3:PutObject"
            Resource  = local.key_objects.source
            Condition = { Null = { "s3:if-none-match" = "false" } }
          },
        ],
        [
          # Checks after a lost response whether the key object was stored.
          {
            Sid      = "CheckKeyObjects"
            Effect   = "Allow"
            Action   = "s3:GetObject"
            Resource = local.key_objects.source
          },
        ],
      ])
    }

    "reader-key-store" = {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "ReadKeyObjects"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = [local.key_objects.source, local.key_objects.replica]
        },
      ]
    }

    "disaster-recovery-key-store" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "ListKeyObjects"
            Effect    = "Allow"
            Action    = "s3:ListBucket"
            Resource  = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}"]
            Condition = { StringLike = { "s3:prefix" = "${var.key_store_prefix}*" } }
          },
        ],
        [
          {
            Sid      = "ChangeKeyObjects"
            Effect   = "Allow"
            Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
            Resource = [local.key_objects.source, local.key_objects.replica]
          },
        ],
      ])
    }

    "shred" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid      = "ListVersions"
            Effect   = "Allow"
            Action   = "s3:ListBucketVersions"
            Resource = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}"]
          },
        ],
        [
          {
            Sid    = "RemoveKeys"
            Effect = "Allow"
            Action = [
              "s3:AbortMultipartUpload",
              "s3:DeleteObjectVersion",
              "s3:GetObject",
              "s3:GetObjectAnnotation",
              "s3:GetObjectLegalHold",
              "s3:GetObjectRetention",
              "s3:GetObjectTagging",
              "s3:GetObjectVersion",
              "s3:GetObjectVersionTagging",
              "s3:PutObject",
              "s3:PutObjectAnnotation",
              "s3:PutObjectLegalHold",
              "s3:PutObjectRetention",
              "s3:PutObjectTagging",
            ]
            Resource = [local.objects.source, local.objects.replica]
          },
        ],
        [
          {
            Sid      = "CheckAclsDisabled"
            Effect   = "Allow"
            Action   = "s3:GetBucketOwnershipControls"
            Resource = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}"]
          },
        ],
      ])
    }

    "uploads" = {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "ListIncompleteUploads"
          Effect   = "Allow"
          Action   = "s3:ListBucketMultipartUploads"
          Resource = "${local.arn}:s3:::${var.bucket}"
        },
        {
          Sid      = "AbortUploads"
          Effect   = "Allow"
          Action   = "s3:AbortMultipartUpload"
          Resource = local.objects.source
        },
      ]
    }

    "auditor" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid      = "InspectKeys"
            Effect   = "Allow"
            Action   = local.key_looks
            Resource = local.keys
          },
        ],
        [
          {
            Sid    = "InspectTrail"
            Effect = "Allow"
            Action = [
              "cloudtrail:GetEventSelectors",
              "cloudtrail:GetTrail",
              "cloudtrail:GetTrailStatus",
            ]
            Resource = local.trail_arn
          },
        ],
        [
          {
            Sid    = "QueryAthena"
            Effect = "Allow"
            Action = [
              "athena:GetQueryExecution",
              "athena:GetQueryResults",
              "athena:GetWorkGroup",
              "athena:StartQueryExecution",
              "athena:StopQueryExecution",
            ]
            Resource = "${local.arn}:athena:${local.region}:${local.account}:workgroup/${local.audit_name}"
          },
        ],
        [
          {
            Sid    = "ReadTable"
            Effect = "Allow"
            Action = ["glue:GetDatabase", "glue:GetPartitions", "glue:GetTable"]
            Resource = [for it in ["catalog", "database/${local.audit_database}", "table/${local.audit_database}/*"] :
              "${local.arn}:glue:${local.region}:${local.account}:${it}"
            ]
          },
        ],
        [
          {
            Sid      = "ListLogs"
            Effect   = "Allow"
            Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
            Resource = "${local.arn}:s3:::${var.trail_bucket}"
          },
        ],
        [
          {
            Sid      = "ReadLogs"
            Effect   = "Allow"
            Action   = "s3:GetObject"
            Resource = "${local.arn}:s3:::${var.trail_bucket}/*"
          },
        ],
        [
          {
            Sid      = "StoreResults"
            Effect   = "Allow"
            Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
            Resource = "${local.arn}:s3:::${var.trail_bucket}/athena/*"
          },
        ],
      ])
    }

    # Assumed by S3 itself.
    "replication" = {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid      = "ReadConfiguration"
            Effect   = "Allow"
            Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
            Resource = "${local.arn}:s3:::${var.bucket}"
          },
        ],
        [
          {
            Sid    = "ReadSource"
            Effect = "Allow"
            Action = [
              "s3:GetObjectVersionAcl",
              "s3:GetObjectVersionForReplication",
              "s3:GetObjectVersionTagging",
            ]
            Resource = [local.objects.source, local.key_objects.source]
          },
        ],
        [
          {
            Sid      = "WriteReplica"
            Effect   = "Allow"
            Action   = ["s3:ReplicateObject", "s3:ReplicateTags"]
            Resource = [local.objects.replica, local.key_objects.replica]
          },
        ],
      ])
    }
  }

  # Whoever may change these settings can expose, lock or expire objects.
  setting_actions = [
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketAcl",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutIntelligentTieringConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
  ]

  bucket_policies = {
    for side, bucket in local.buckets : side => {
      Version = "2012-10-17"
      Statement = flatten([
        [
          {
            Sid       = "RequireTls"
            Effect    = "Deny"
            Principal = "*"
            Action    = "s3:*"
            Resource  = ["${local.arn}:s3:::${bucket}", "${local.arn}:s3:::${bucket}/*"]
            Condition = { Bool = { "aws:SecureTransport" = "false" } }
          },
        ],
        [
          {
            Sid       = "RequireTls12"
            Effect    = "Deny"
            Principal = "*"
            Action    = "s3:*"
            Resource  = ["${local.arn}:s3:::${bucket}", "${local.arn}:s3:::${bucket}/*"]
            Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
          },
        ],
        [
          {
            Sid       = "ProtectVersions"
            Effect    = "Deny"
            Principal = "*"
            Action    = ["s3:BypassGovernanceRetention", "s3:DeleteObjectVersion"]
            Resource  = "${local.arn}:s3:::${bucket}/*"
            Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.bucket_administrators } }
          },
        ],
        [
          {
            Sid       = "ProtectSettings"
            Effect    = "Deny"
            Principal = "*"
            Action    = local.setting_actions
            Resource  = "${local.arn}:s3:::${bucket}"
            Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.bucket_administrators } }
          },
        ],
      ])
    }
  }

  trail_bucket_policy = {
    Version = "2012-10-17"
    Statement = flatten([
      [
        {
          Sid       = "CloudTrailChecksAcl"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:GetBucketAcl"
          Resource  = "${local.arn}:s3:::${var.trail_bucket}"
          Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
        },
      ],
      [
        {
          Sid       = "CloudTrailWrites"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:PutObject"
          Resource  = "${local.arn}:s3:::${var.trail_bucket}/AWSLogs/${local.account}/*"
          Condition = {
            StringEquals = { "aws:SourceArn" = local.trail_arn, "s3:x-amz-acl" = "bucket-owner-full-control" }
          }
        },
      ],
      [
        {
          Sid       = "RequireTls"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = ["${local.arn}:s3:::${var.trail_bucket}", "${local.arn}:s3:::${var.trail_bucket}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ],
      [
        {
          Sid       = "ProtectLogs"
          Effect    = "Deny"
          Principal = "*"
          Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
          Resource  = "${local.arn}:s3:::${var.trail_bucket}/AWSLogs/*"
        },
      ],
      [
        {
          Sid       = "ProtectSettings"
          Effect    = "Deny"
          Principal = "*"
          Action    = local.setting_actions
          Resource  = "${local.arn}:s3:::${var.trail_bucket}"
          Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.bucket_administrators } }
        },
      ],
    ])
  }

  audit_name     = "sealwax-audit"
  audit_database = "sealwax_audit"
  trail_arn      = "${local.arn}:cloudtrail:${local.region}:${local.account}:trail/${local.audit_name}"
}
