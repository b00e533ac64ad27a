;; Gives one good buffer; larger ones reach beyond the memory.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32)
    (if (result i32) (i32.gt_u (local.get 0) (i32.const 4096)) (then (i32.const 65000)) (else (i32.const 1024))))
  (func (export "policy_eval") (param i32 i32) (result i64) (i64.const 1))
)
