terraform {
  backend "s3" {
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_region_validation      = true
  }
}

variable "text" {}
variable "during" {}

resource "terraform_data" "stored" {
  input = var.text

  provisioner "local-exec" {
    command = var.during
  }
}

output "text" {
  value = terraform_data.stored.output
}
