output "function_arn" {
  description = "ARN of the function, for jobs."
  value       = aws_lambda_function.rewrap.arn
}

output "job_role_arn" {
  description = "ARN of the role for S3 Batch Operations jobs."
  value       = aws_iam_role.job.arn
}

output "failed_queue_url" {
  description = "URL of the queue with the events that failed after all retries."
  value       = aws_sqs_queue.failed.url
}
