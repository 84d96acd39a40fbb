# Use this module in the Region of the bucket whose objects it rewraps:
#
#   module "rewrap" {
#     source = "./examples/lambda"
#     …
#   }

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}
