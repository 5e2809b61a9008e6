#include "template_guard.h"

#include "template_operation.h"
#include "template_scope.h"

#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace gpt4all {
namespace {

using jinja::cast_stmt;
using jinja::cast_val;
using jinja::context;
using jinja::is_val;
using jinja::mk_val;
using jinja::statement_ptr;
using jinja::statements;
using jinja::value;

// Guards take the place of what they wrap.
class Guard : public jinja::expression {
public:
    explicit Guard(statement_ptr inner) : inner_(std::move(inner)) { pos = inner_->pos; }
    std::string type() const override { return inner_->type(); }

protected:
    const statement_ptr inner_;
};

class Step : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        TemplateScope &scope = TemplateScope::current();
        scope.spend(1);
        scope.check_stack();
        return inner_->execute(ctx);
    }
};

class Operator : public Guard {
public:
    Operator(statement_ptr inner, OperationKind kind, std::string name = "", std::size_t n_operands = 0)
        : Guard(std::move(inner)), kind_(kind), name_(std::move(name)), n_operands_(n_operands) {}
    value execute_impl(context &ctx) const override {
        TemplateScope &scope = TemplateScope::current();
        scope.spend(1);
        scope.check_stack();
        Operation operation(scope, kind_, name_, n_operands_);
        return operation.finish(inner_->execute(ctx));
    }

private:
    const OperationKind kind_;
    const std::string name_;
    const std::size_t n_operands_;
};

class Operand : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        value operand = inner_->execute(ctx);
        TemplateScope::current().operation->add_operand(operand);
        return operand;
    }
};

// std::localtime shares its answer between threads.
value format_time(const jinja::func_args &args) {
    args.ensure_vals<jinja::value_string>();
    std::tm local = {};
#if defined(_WIN32)
    localtime_s(&local, &args.ctx.current_time);
#else
    localtime_r(&args.ctx.current_time, &local);
#endif
    char text[256];
    const std::string format = args.get_pos(0)->as_string().str();
    const std::size_t length = std::strftime(text, sizeof text, format.c_str(), &local);
    return mk_val<jinja::value_string>(std::string(text, length));
}

value refuse(const jinja::func_args &args) {
    args.ensure_vals<jinja::value_string>();
    throw TemplateRefusal{args.get_pos(0)->as_string().str()};
}

class Callee : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        TemplateScope &scope = TemplateScope::current();
        value callee = inner_->execute(ctx);
        const auto *name = cast_stmt<jinja::identifier>(inner_);
        // Not where the template gives these names another meaning.
        if (name != nullptr && ctx.get_val(name->val)->is_undefined()) {
            if (name->val == "strftime_now") callee = mk_val<jinja::value_func>(name->val, format_time);
            if (name->val == "raise_exception" && !scope.analysing()) {
                callee = mk_val<jinja::value_func>(name->val, refuse);
            }
        }
        if (const auto *function = cast_val<jinja::value_func>(callee)) scope.operation->set_function(*function);
        return callee;
    }
};

// A call block's arguments are evaluated after its callee, too late to judge them.
class MacroCallee : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        value callee = inner_->execute(ctx);
        const auto *function = cast_val<jinja::value_func>(callee);
        if (function && (function->arg0 || jinja::global_builtins().count(function->name) > 0)) {
            throw TemplateLimit{"it calls " + function->name + "() with a block"};
        }
        return callee;
    }
};

// A slice's bounds, which the engine adds up.
class Bound : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        value bound = inner_->execute(ctx);
        if (is_val<jinja::value_int>(bound) && (bound->as_int() > INT32_MAX || bound->as_int() < INT32_MIN)) {
            throw TemplateLimit{"a slice is too long"};
        }
        return bound;
    }
};

class Iterable : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        value items = inner_->execute(ctx);
        TemplateScope::current().spend_scopes(container_size(items));
        return items;
    }
};

// What is stored in a member of `object`, which the assignment evaluates again.
class Stored : public Guard {
public:
    Stored(statement_ptr inner, const jinja::statement &object) : Guard(std::move(inner)), object_(object) {}
    value execute_impl(context &ctx) const override {
        value stored = inner_->execute(ctx);
        if (is_container(stored) || is_val<jinja::value_func>(stored)) {
            TemplateScope::current().check_insertion(object_.execute(ctx), stored);
        }
        return stored;
    }

private:
    const jinja::statement &object_;
};

class Output : public Guard {
public:
    using Guard::Guard;
    value execute_impl(context &ctx) const override {
        value output = inner_->execute(ctx);
        TemplateScope::current().check_output(output);
        return output;
    }
};

// Stands first in the body of a loop or a macro.
class Enter : public jinja::statement {
public:
    Enter() { pos = 0; }
    std::string type() const override { return "Enter"; }
    value execute_impl(context &) const override {
        TemplateScope &scope = TemplateScope::current();
        scope.spend_scopes(0);
        scope.check_stack();
        return mk_val<jinja::value_undefined>();
    }
};

// The body of a filter block as the one text that is filtered.
class Text : public jinja::expression {
public:
    explicit Text(statements body) : body_(std::move(body)) { pos = 0; }
    std::string type() const override { return "Text"; }
    value execute_impl(context &ctx) const override {
        auto results = mk_val<jinja::value_array>();
        for (const statement_ptr &part : body_) results->push_back(part->execute(ctx));
        return jinja::runtime::gather_string_parts(results);
    }

private:
    const statements body_;
};

class Guarding {
public:
    void block(statements &body) {
        for (statement_ptr &statement : body) this->statement(statement);
    }
    std::size_t n_names() const { return names_.size(); }

private:
    template <class Kind, class... Arguments> static void wrap(statement_ptr &inner, Arguments &&...arguments) {
        inner = std::make_unique<Kind>(std::move(inner), std::forward<Arguments>(arguments)...);
    }

    void body(statements &list) {
        block(list);
        list.insert(list.begin(), std::make_unique<Enter>());
    }

    void name(const statement_ptr &target) {
        if (const auto *identifier = cast_stmt<jinja::identifier>(target)) names_.insert(identifier->val);
        if (const auto *tuple = cast_stmt<jinja::tuple_literal>(target)) {
            for (const statement_ptr &item : tuple->val) name(item);
        }
    }

    // The engine looks at the class of a parameter, so only defaults are wrapped.
    void parameters(statements &list) {
        for (statement_ptr &parameter : list) {
            name(parameter);
            if (auto *option = cast_stmt<jinja::keyword_argument_expression>(parameter)) {
                name(option->key);
                expression(option->val);
            }
        }
    }

    void statement(statement_ptr &s) {
        if (auto *if_ = cast_stmt<jinja::if_statement>(s)) {
            expression(if_->test);
            block(if_->body);
            block(if_->alternate);
        } else if (auto *for_ = cast_stmt<jinja::for_statement>(s)) {
            loop(*for_);
        } else if (auto *set = cast_stmt<jinja::set_statement>(s)) {
            assignment(*set);
        } else if (auto *macro = cast_stmt<jinja::macro_statement>(s)) {
            name(macro->name);
            parameters(macro->args);
            body(macro->body);
        } else if (auto *call = cast_stmt<jinja::call_statement>(s)) {
            if (auto *called = cast_stmt<jinja::call_expression>(call->call)) {
                expression(called->callee);
                wrap<MacroCallee>(called->callee);
                for (statement_ptr &argument : called->args) expression(argument);
            }
            parameters(call->caller_args);
            body(call->body);
        } else if (auto *filter = cast_stmt<jinja::filter_statement>(s)) {
            block(filter->body);
            statements text;
            text.push_back(std::make_unique<Text>(std::move(filter->body)));
            filter->body = std::move(text);
            wrap<Operand>(filter->body.front());
            filtering(s, filter->filter);
        } else if (dynamic_cast<jinja::expression *>(s.get()) != nullptr) {
            expression(s);
            wrap<Output>(s);
        }
    }

    void loop(jinja::for_statement &loop) {
        name(loop.loopvar);
        if (auto *select = cast_stmt<jinja::select_expression>(loop.iterable)) {
            expression(select->lhs);
            wrap<Iterable>(select->lhs);
            expression(select->test);
        } else {
            expression(loop.iterable);
            wrap<Iterable>(loop.iterable);
        }
        body(loop.body);
        block(loop.default_block);
    }

    void assignment(jinja::set_statement &set) {
        name(set.assignee);
        block(set.body);
        auto *member = cast_stmt<jinja::member_expression>(set.assignee);
        if (member != nullptr) expression(member->object);
        if (!set.val) return;
        expression(set.val);
        if (member != nullptr) wrap<Stored>(set.val, *member->object);
    }

    void operand(statement_ptr &s) {
        expression(s);
        wrap<Operand>(s);
    }

    // A filter or a test: its name, or a call of its name.
    void filtering(statement_ptr &s, statement_ptr &filter, OperationKind kind = OperationKind::FILTER) {
        std::string name;
        std::size_t n_operands = 1;
        const jinja::identifier *identifier = cast_stmt<jinja::identifier>(filter);
        if (auto *call = cast_stmt<jinja::call_expression>(filter)) {
            identifier = cast_stmt<jinja::identifier>(call->callee);
            n_operands += call->args.size();
            for (statement_ptr &argument : call->args) operand(argument);
        }
        if (identifier != nullptr) name = identifier->val == "trim" ? "strip" : identifier->val;
        wrap<Operator>(s, kind, name, n_operands);
    }

    void member(statement_ptr &s, jinja::member_expression &member) {
        if (!member.computed) {
            expression(member.object);
            wrap<Step>(s);
            return;
        }
        operand(member.object);
        if (auto *slice = cast_stmt<jinja::slice_expression>(member.property)) {
            for (statement_ptr *bound : {&slice->start_expr, &slice->stop_expr, &slice->step_expr}) {
                if (*bound == nullptr) continue;
                expression(*bound);
                wrap<Bound>(*bound);
            }
        } else {
            expression(member.property);
        }
        wrap<Operator>(s, OperationKind::INDEX, "", 1);
    }

    void literal(statement_ptr &s, statements &items) {
        for (statement_ptr &item : items) expression(item);
        wrap<Operator>(s, OperationKind::LITERAL);
    }

    void expression(statement_ptr &s) {
        if (auto *member = cast_stmt<jinja::member_expression>(s)) {
            this->member(s, *member);
        } else if (auto *call = cast_stmt<jinja::call_expression>(s)) {
            for (statement_ptr &argument : call->args) operand(argument);
            if (cast_stmt<jinja::identifier>(call->callee) == nullptr) expression(call->callee);
            wrap<Callee>(call->callee);
            wrap<Operator>(s, OperationKind::CALL);
        } else if (auto *filter = cast_stmt<jinja::filter_expression>(s)) {
            operand(filter->operand);
            filtering(s, filter->filter);
        } else if (auto *test = cast_stmt<jinja::test_expression>(s)) {
            operand(test->operand);
            filtering(s, test->test, OperationKind::TEST);
        } else if (auto *binary = cast_stmt<jinja::binary_expression>(s)) {
            operand(binary->left);
            operand(binary->right);
            wrap<Operator>(s, OperationKind::BINARY, binary->op.value, std::size_t{2});
        } else {
            simple_expression(s);
        }
    }

    void simple_expression(statement_ptr &s) {
        if (auto *select = cast_stmt<jinja::select_expression>(s)) {
            expression(select->lhs);
            expression(select->test);
            wrap<Step>(s);
        } else if (auto *ternary = cast_stmt<jinja::ternary_expression>(s)) {
            expression(ternary->condition);
            expression(ternary->true_expr);
            expression(ternary->false_expr);
            wrap<Step>(s);
        } else if (auto *unary = cast_stmt<jinja::unary_expression>(s)) {
            expression(unary->argument);
            wrap<Step>(s);
        } else if (auto *option = cast_stmt<jinja::keyword_argument_expression>(s)) {
            expression(option->val);
        } else if (auto *array = cast_stmt<jinja::array_literal>(s)) {
            literal(s, array->val);
        } else if (auto *tuple = cast_stmt<jinja::tuple_literal>(s)) {
            literal(s, tuple->val);
        } else if (auto *object = cast_stmt<jinja::object_literal>(s)) {
            for (auto &item : object->val) {
                expression(item.first);
                expression(item.second);
            }
            wrap<Operator>(s, OperationKind::LITERAL);
        }
    }

    std::set<std::string> names_;
};

} // namespace

std::size_t guard_template(jinja::program &program) {
    Guarding guarding;
    guarding.block(program.body);
    // A dozen variables are always there.
    return 3 + guarding.n_names() / 4;
}

} // namespace gpt4all
