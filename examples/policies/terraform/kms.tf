# Two keys with independent key material. An object wrapped under both opens in each Region without the other.

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  region    = data.aws_region.here.id
  key_arn   = { source = aws_kms_key.source.arn, replica = aws_kms_key.replica.arn }
}

resource "aws_kms_key" "source" {
  description             = "Sealwax: data keys of ${var.bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode(local.key_policies.source)

  # A key policy must not name roles that do not exist.
  depends_on = [aws_iam_role.of]
}

resource "aws_kms_key" "replica" {
  provider                = aws.replica
  description             = "Sealwax: data keys of ${var.bucket} and ${var.replica_bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode(local.key_policies.replica)

  depends_on = [aws_iam_role.of]
}
