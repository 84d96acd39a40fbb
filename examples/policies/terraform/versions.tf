# Two buckets and two keys, in the Regions of the two providers that the caller passes:
#
#   module "sealwax" {
#     source    = "./examples/policies/terraform"
#     providers = { aws = aws.us_east_1, aws.replica = aws.us_west_2 }
#     …
#   }

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = ">= 5.60"
      configuration_aliases = [aws.replica]
    }
  }
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}
