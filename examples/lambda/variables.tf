variable "package" {
  description = "The function as `cargo lambda build --output-format zip` makes it."
  type        = string
}

variable "bucket" {
  description = "The bucket whose objects are rewrapped, in this Region."
  type        = string
}

variable "prefix" {
  description = "What the keys of these objects begin with, such as `2026/`. Empty: all."
  type        = string
  default     = ""
}

variable "replica_of" {
  description = "The bucket that this one is a replica of, if it is one."
  type        = string
  default     = ""
}

variable "keys" {
  description = "ARNs of all KMS keys, in whatever Region, that the function may open objects with and wrap under."
  type        = list(string)
}

variable "add" {
  description = "ARNs of the KMS keys to add. Empty: each job says by its arguments what to change."
  type        = list(string)
  default     = []
}

variable "on_events" {
  description = "Whether new objects in the bucket are rewrapped as they come; `add` must be set then."
  type        = bool
  default     = false
}

variable "jobs_bucket" {
  description = "The bucket of manifests (below `manifests/`) and completion reports (below `reports/`)."
  type        = string
}

variable "concurrency" {
  description = "How many objects are worked on at once, at most. It bounds the calls of KMS."
  type        = number
  default     = 50
}

variable "timeout" {
  description = "Seconds for one object; up to 900. Copies in parts, above 5 GiB, need more than others."
  type        = number
  default     = 300
}

variable "name" {
  description = "Name of the function, and what the names of the roles begin with."
  type        = string
  default     = "sealwax-rewrap"
}
