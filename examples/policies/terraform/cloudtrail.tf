# A trail of both Regions that logs every use of the keys, and Athena to query it. Table and queries: ../queries.

resource "aws_s3_bucket" "trail" {
  bucket = var.trail_bucket
}

resource "aws_s3_bucket_versioning" "trail" {
  bucket = aws_s3_bucket.trail.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "trail" {
  bucket                  = aws_s3_bucket.trail.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "trail" {
  bucket = aws_s3_bucket.trail.id
  policy = jsonencode(local.trail_bucket_policy)

  depends_on = [aws_s3_bucket_public_access_block.trail]
}

resource "aws_cloudtrail" "audit" {
  name                       = local.audit_name
  s3_bucket_name             = aws_s3_bucket.trail.id
  is_multi_region_trail      = true
  enable_log_file_validation = true

  # Same as ../config/event-selectors.json. GenerateDataKey, Encrypt, Decrypt and ReEncrypt are management events of
  # type *read*: "WriteOnly" would drop them, and so would kms.amazonaws.com as an excluded source.
  event_selector {
    read_write_type                  = "All"
    include_management_events        = true
    exclude_management_event_sources = []

    # Reads, writes and copies of the objects. CloudTrail charges for data events.
    data_resource {
      type   = "AWS::S3::Object"
      values = [for bucket in [var.bucket, var.replica_bucket] : "${local.arn}:s3:::${bucket}/${var.prefix}"]
    }
  }

  depends_on = [aws_s3_bucket_policy.trail]
}

resource "aws_athena_workgroup" "audit" {
  name = local.audit_name

  configuration {
    enforce_workgroup_configuration = true

    result_configuration {
      output_location = "s3://${aws_s3_bucket.trail.id}/athena/"
      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}

resource "aws_glue_catalog_database" "audit" {
  name = local.audit_database
}
