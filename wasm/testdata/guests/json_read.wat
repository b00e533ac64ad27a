;; json: allows requests whose action is read, denies others; reads every byte.
(module
  (memory (export "memory") 2)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 16) "{\"version\":1,\"action\":\"read\"")
  (func (export "policy_eval") (param $p i32) (param $n i32) (result i64)
    (local $i i32) (local $depth i32) (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (i32.add (local.get $p) (local.get $i))))
      (if (i32.and (i32.lt_u (local.get $i) (i32.const 28)) (i32.ne (local.get $c) (i32.load8_u offset=16 (local.get $i))))
        (then (return (i64.const 0))))
      (if (i32.eq (local.get $c) (i32.const 123)) (then (local.set $depth (i32.add (local.get $depth) (i32.const 1)))))
      (if (i32.eq (local.get $c) (i32.const 125)) (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (if (local.get $depth) (then (return (i64.const 0))))
    (i64.const 1))
)
