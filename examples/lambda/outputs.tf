output "function_arn" {
  description = "What a job invokes."
  value       = aws_lambda_function.rewrap.arn
}

output "job_role_arn" {
  description = "As what S3 Batch Operations runs a job."
  value       = aws_iam_role.job.arn
}

output "failed_queue_url" {
  description = "Events whose object was not rewrapped after all tries."
  value       = aws_sqs_queue.failed.url
}
