# The roles. policies.tf has their policies.

locals {
  attached = merge(
    { for name in local.role_names : name => { role = name, policy = name } },
    # Roles that audit, verify and rewrap whole prefixes.
    { for name in ["reader", "disaster-recovery"] : "${name}-list" => { role = name, policy = "list" } },
    var.readers_audit_key_material ? { "reader-key-material" = { role = "reader", policy = "key-material" } } : {},
    {
      for name in ["writer", "reader", "disaster-recovery"] :
      "${name}-key-store" => { role = name, policy = "${name}-key-store" } if var.key_store
    },
    var.writers_resume ? { "writer-resume" = { role = "writer", policy = "writer-resume" } } : {},
  )
}

resource "aws_iam_role" "of" {
  for_each = toset(local.role_names)

  name = "${var.role_prefix}${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = var.trusted[each.key] }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "of" {
  for_each = local.attached

  name   = "sealwax-${each.key}"
  role   = aws_iam_role.of[each.value.role].id
  policy = jsonencode(local.role_policies[each.value.policy])
}

resource "aws_iam_role" "replication" {
  name = "${var.role_prefix}replication"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnEquals    = { "aws:SourceArn" = "${local.arn}:s3:::${var.bucket}" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "replication" {
  name   = "sealwax-replication"
  role   = aws_iam_role.replication.id
  policy = jsonencode(local.role_policies["replication"])
}
