# The function and its triggers.

locals {
  account = data.aws_caller_identity.here.account_id
  arn     = "arn:${data.aws_partition.here.partition}"
  bucket  = "${local.arn}:s3:::${var.bucket}"
  objects = "${local.bucket}/${var.prefix}*"
}

resource "aws_lambda_function" "rewrap" {
  function_name                  = var.name
  role                           = aws_iam_role.function.arn
  runtime                        = "provided.al2023"
  architectures                  = ["arm64"]
  handler                        = "bootstrap"
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  memory_size                    = 256
  timeout                        = var.timeout
  reserved_concurrent_executions = var.concurrency

  environment {
    variables = {
      SEALWAX_REWRAP_KEYS     = join(" ", var.keys)
      SEALWAX_REWRAP_ADD      = join(" ", var.add)
      SEALWAX_REWRAP_REPLICAS = var.replica_of == "" ? "" : "${var.bucket}=${var.replica_of}"
    }
  }

  depends_on = [aws_cloudwatch_log_group.function]
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = 90
}

# Events that failed after all retries.

resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-failed"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_lambda_function_event_invoke_config" "rewrap" {
  function_name          = aws_lambda_function.rewrap.function_name
  maximum_retry_attempts = 2

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failed.arn
    }
  }

  depends_on = [aws_iam_role_policy.function]
}

resource "aws_lambda_permission" "events" {
  count = var.on_events ? 1 : 0

  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.rewrap.function_name
  principal      = "s3.amazonaws.com"
  source_arn     = local.bucket
  source_account = local.account
}

# A bucket has only one notification configuration. If yours has one, add this to it.
resource "aws_s3_bucket_notification" "events" {
  count = var.on_events ? 1 : 0

  bucket = var.bucket

  lambda_function {
    lambda_function_arn = aws_lambda_function.rewrap.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = var.prefix
  }

  depends_on = [aws_lambda_permission.events]
}
