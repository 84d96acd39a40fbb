output "key_arns" {
  description = "ARNs for --key, generator key first."
  value       = [aws_kms_key.source.arn, aws_kms_key.replica.arn]
}

output "role_arns" {
  description = "ARNs of the roles, by name."
  value       = { for name, role in aws_iam_role.of : name => role.arn }
}

output "buckets" {
  description = "Source and replica bucket, for --replica-of."
  value       = { source = aws_s3_bucket.source.id, replica = aws_s3_bucket.replica.id }
}

output "athena" {
  description = "Workgroup and database for ../queries."
  value       = { workgroup = aws_athena_workgroup.audit.name, database = aws_glue_catalog_database.audit.name }
}
