variable "package" {
  description = "Path of the zip file that `cargo lambda build --output-format zip` writes."
  type        = string
}

variable "bucket" {
  description = "Bucket whose objects are rewrapped, in this Region."
  type        = string
}

variable "prefix" {
  description = "Prefix of the objects' keys, such as `2026/`. Empty for all objects."
  type        = string
  default     = ""
}

variable "replica_of" {
  description = "Source bucket, if `bucket` is a replica. Empty: none. A job cannot change it."
  type        = string
  default     = ""
}

variable "keys" {
  description = "ARNs of all KMS keys, in any Region, that the function may open objects with and wrap under. A job names others in vain."
  type        = list(string)
}

variable "add" {
  description = "ARNs of the KMS keys to add. Empty: each job names its changes in its arguments, and chooses from `keys`."
  type        = list(string)
  default     = []
}

variable "intermediate_keys" {
  description = "Allow intermediate keys, of objects that a caching keyring sealed, for scopes under the prefix."
  type        = bool
  default     = false
}

variable "on_events" {
  description = "Rewrap new objects as soon as they are stored. Requires `add`."
  type        = bool
  default     = false
}

variable "jobs_bucket" {
  description = "Bucket of manifests (under `manifests/`) and completion reports (under `reports/`)."
  type        = string
}

variable "concurrency" {
  description = "Maximum number of objects processed at once. It limits the rate of KMS calls."
  type        = number
  default     = 50
}

variable "timeout" {
  description = "Timeout per object in seconds, at most 900. Multipart copies (objects above 5 GiB) take longest."
  type        = number
  default     = 300
}

variable "name" {
  description = "Name of the function, and prefix of the roles' names."
  type        = string
  default     = "sealwax-rewrap"
}
