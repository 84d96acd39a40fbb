# Two roles: one for the function, one for S3 Batch Operations jobs.

resource "aws_iam_role" "function" {
  name = "${var.name}-function"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

locals {
  # An object's place is BUCKET/KEY at the time of wrapping. The scope of an intermediate key is a prefix of it.
  places   = [for bucket in compact([var.bucket, var.replica_of]) : "${bucket}/${var.prefix}*"]
  bindings = concat([["v1", "place"]], var.intermediate_keys ? [["v1/intermediate", "scope"]] : [])
}

# Same as examples/policies/iam-disaster-recovery.json. The key policies must allow this role, too.
resource "aws_iam_role_policy" "function" {
  name = "rewrap"
  role = aws_iam_role.function.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      for index, binding in local.bindings : {
        Sid      = ["RewrapKeys", "RewrapIntermediateKeys"][index]
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
        Resource = var.keys
        Condition = {
          StringEquals = { "kms:EncryptionContext:sealwax:format" = binding[0] }
          StringLike   = { "kms:EncryptionContext:sealwax:${binding[1]}" = local.places }
        }
      }
      ], [
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
        Resource = local.objects
      },
      {
        Sid      = "CheckAclsDisabled"
        Effect   = "Allow"
        Action   = "s3:GetBucketOwnershipControls"
        Resource = local.bucket
      },
      {
        # Without it, S3 answers "access denied" for a missing object.
        Sid      = "DistinguishMissingObjects"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.bucket
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.function.arn}:*"
      },
      {
        Sid      = "SendFailedEvents"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = aws_sqs_queue.failed.arn
      },
    ])
  })
}

resource "aws_iam_role" "job" {
  name = "${var.name}-job"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "batchoperations.s3.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "job" {
  name = "job"
  role = aws_iam_role.job.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Invoke"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = aws_lambda_function.rewrap.arn
      },
      {
        Sid      = "ReadManifest"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = "${local.arn}:s3:::${var.jobs_bucket}/manifests/*"
      },
      {
        Sid      = "WriteReport"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${local.arn}:s3:::${var.jobs_bucket}/reports/*"
      },
    ]
  })
}
